"""The decoder for browsers and Node.js, as files to serve; see docs/web.md."""
