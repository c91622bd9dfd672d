"""`python -m rdae` is the command `rdae`."""

from __future__ import annotations

import sys

from rdae.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
