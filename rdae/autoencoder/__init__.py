"""The torch half: the autoencoder, its objective, training, and export to a weights file."""

import os
import sys
from importlib.util import find_spec

from rdae.errors import MissingDependencyError

# Spinning OpenMP threads slow a loaded machine down tenfold; this must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if _missing := [p for p in ("torch", "compressai", "pytorch_optimizer") if find_spec(p) is None]:
    _error = MissingDependencyError(
        f"training, export and efforts from 3 on need {', '.join(_missing)}",
        hint="pip install 'rdae[train]'",
    )
    if sys.argv[:1] == ["-m"]:  # `python -m` is looking for one of our modules: no traceback
        raise SystemExit(f"rdae: {_error}\nhint: {_error.hint}")
    raise _error
