"""Compile the kernel to WebAssembly: `python web/kernel/build.py [FOLDER]` writes both modules.

The compiler is clang in the package ziglang, in one version, so that anybody gets the same bytes:
`pip install ziglang==0.14.1`. kernel-plain.wasm is for browsers without SIMD, from before 2021, of
Safari from before 2023.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WEB = HERE.parent
KERNEL = WEB.parent / "rdae" / "exact" / "kernel"
COMPILER = "0.14.1"  # of ziglang
SOURCES = [KERNEL / "networks.c", KERNEL / "coder.c", HERE / "wasm.c"]
BUILDS = {"kernel.wasm": "mvp+simd128+bulk_memory+sign_ext", "kernel-plain.wasm": "mvp"}
FLAGS = [
    *("-target", "wasm32-freestanding", "-std=c11", "-O3", "-ffreestanding", "-fno-builtin"),
    *(
        "-fno-strict-aliasing",
        "-fno-sanitize=undefined",
        "-nostdlib",
        "-Wall",
        "-Werror",
        "-Wno-unused-function",
    ),
    *(
        "-Wl,--no-entry",
        "-Wl,--strip-all",
        "-Wl,--initial-memory=1048576",
        "-Wl,-z,stack-size=65536",
    ),
    "-Wl,--export=__heap_base",
]


def build(folder: Path) -> list[Path]:
    """Write both modules.

    Raises:
        subprocess.CalledProcessError: the compiler fails.
    """
    written = []
    with tempfile.TemporaryDirectory() as cache:
        for name, processor in BUILDS.items():
            out = folder / name
            command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, f"-mcpu={processor}"]
            command += [f"-I{KERNEL}", *map(str, SOURCES), "-o", str(out)]
            caches = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
            subprocess.run(command, check=True, cwd=HERE, env=caches)
            written.append(out)
    return written


if __name__ == "__main__":
    for path in build(Path(sys.argv[1]) if len(sys.argv) > 1 else WEB):
        print(f"{path}: {path.stat().st_size:,} bytes")
