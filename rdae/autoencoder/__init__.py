"""The torch half: the autoencoder, its objective, and the search of high efforts.

All of it needs torch. The autoencoder with its densities needs compressai as well, which does not
run on every version of Python that torch runs on; searches do without it.
"""

import os
import sys
from importlib.util import find_spec

from rdae.errors import MissingDependencyError
from rdae.extras import install_hint

# Spinning OpenMP threads slow a loaded machine down tenfold; this must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if find_spec("torch") is None:
    _error = MissingDependencyError(
        "training, export and efforts from 3 on need torch", hint=install_hint("train")
    )
    if sys.argv[:1] == ["-m"]:  # `python -m` is looking for one of our modules: no traceback
        raise SystemExit(f"rdae: {_error}\nhint: {_error.hint}")
    raise _error
