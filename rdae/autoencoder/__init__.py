"""The torch half: the autoencoder, its objective, training, export to a weights file, searches.

All of it needs torch. Training and export need more packages, which do not run on every version
of Python that torch runs on; searches do without them.
"""

import os
import sys
from importlib.util import find_spec

from rdae.errors import MissingDependencyError

# Spinning OpenMP threads slow a loaded machine down tenfold; this must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HINT = "pip install 'rdae[train]'"

if find_spec("torch") is None:
    _error = MissingDependencyError("training, export and efforts from 3 on need torch", hint=_HINT)
    if sys.argv[:1] == ["-m"]:  # `python -m` is looking for one of our modules: no traceback
        raise SystemExit(f"rdae: {_error}\nhint: {_error.hint}")
    raise _error


def require_training() -> None:
    """See whether what training and export need beside torch is installed.

    Raises:
        MissingDependencyError: it is not.
    """
    if missing := [name for name in ("compressai", "pytorch_optimizer") if find_spec(name) is None]:
        # compressai needs a NumPy that has no wheels beyond
        hint = _HINT if sys.version_info < (3, 13) else f"with Python 3.10 to 3.12: {_HINT}"
        raise MissingDependencyError(f"training and export need {', '.join(missing)}", hint=hint)
