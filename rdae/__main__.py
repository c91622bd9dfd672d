"""The command `rdae`, which `python -m rdae` is, too."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code, also if it is interrupted at its start."""
    try:
        # Here and not above: the imports take long enough for Ctrl-C to come in between.
        from rdae.cli.main import main as command

        return int(command())
    except KeyboardInterrupt:
        sys.stderr.write("rdae: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
