"""The compiled kernel; all else stands in pyproject.toml.

It is optional: without a compiler NumPy does the same work, slower. RDAE_KERNEL=yes makes it
mandatory, as for wheels, RDAE_KERNEL=no leaves it out. So does a Python without the global lock,
which has no stable interface for it.
"""

import os
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("rdae/exact/kernel")
wish = os.environ.get("RDAE_KERNEL", "auto")
if sysconfig.get_config_var("Py_GIL_DISABLED") and wish == "auto":
    wish = "no"
kernel = Extension(
    "rdae.exact.kernel._kernel",
    sorted(map(str, SOURCES.glob("*.c"))),
    depends=sorted(map(str, SOURCES.glob("*.h"))),
    extra_compile_args=["/O2", "/std:c11"]
    if os.name == "nt"
    else ["-O3", "-fno-strict-aliasing", "-ffp-contract=off"],
    py_limited_api=True,
    optional=wish != "yes",
)
setup(
    ext_modules=[] if wish == "no" else [kernel],
    options={} if wish == "no" else {"bdist_wheel": {"py_limited_api": "cp310"}},
)
