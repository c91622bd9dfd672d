"""Training: from photos to a weights file, as `rdae train` and `rdae export` do it.

launch        processes on all cores or GPUs, or one of torchrun's (`python -m rdae.training`)
trainer       one process: the step, its schedule, its checkpoints
lossy_task    what a step trains: the autoencoder (lossless_task: the networks of lossless files)
data          photos to crops
run_export    floats to the integers of a weights file
"""

import sys
from importlib.util import find_spec

import rdae.autoencoder  # noqa: F401 - says at once that torch is missing
from rdae.errors import MissingDependencyError
from rdae.extras import install_hint


def require_training() -> None:
    """See whether what training and export need beside torch is installed.

    Raises:
        MissingDependencyError: it is not.
    """
    if missing := [name for name in ("compressai", "pytorch_optimizer") if find_spec(name) is None]:
        # compressai needs a NumPy that has no wheels beyond
        hint = install_hint("train")
        if sys.version_info >= (3, 13):
            hint = f"with Python 3.10 to 3.12: {hint}"
        raise MissingDependencyError(f"training and export need {', '.join(missing)}", hint=hint)
