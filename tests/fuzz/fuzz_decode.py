"""Fuzz the reader and the decoder of .rd files with atheris (libFuzzer for Python).

    pip install -e . atheris
    mkdir -p /tmp/rd
    python tests/fuzz/fuzz_decode.py /tmp/rd tests/fuzz/corpus -max_total_time=3600

It runs until it is stopped or until the first finding. New inputs go to the first folder; inputs
that break a promise go to the file `crash-...`, `timeout-...` or `oom-...` in the current folder
and belong to tests/fuzz/crashers/ once they are mended. To run some inputs only, name the files
instead of folders. Every option of libFuzzer works; these are the ceilings unless others are given:

    -timeout=10         seconds for one input
    -rss_limit_mb=2048  memory of the process; the address space may grow by 2 GiB, too
    -max_len=65536      bytes of an input

Nine in ten inputs come from `mutator`, which repairs checksums; the others from libFuzzer.
What must hold for them is said by `oracle`.
"""

from __future__ import annotations

import os
import random
import resource
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import atheris

# Not what compares arrays: atheris (3.0) leaks the result of every comparison in code that it
# watches, which would be a gigabyte in minutes; and few of its branches depend on the bytes.
ARITHMETIC = [
    "rdae.bitstream.range_coder",
    "rdae.bitstream.plain_coder",
    "rdae.exact.layers",
    "rdae.codec.concealment",
]
ARITHMETIC += [
    f"rdae.lossless.{module}"
    for module in ("fit", "model", "parameters", "pyramid", "stream", "tables", "walk")
]
ARITHMETIC += ["rdae.codec.tile", "rdae.model.model", "rdae.rounding"]

with atheris.instrument_imports(include=["rdae"], exclude=ARITHMETIC):
    import mutator
    import oracle

    from rdae.model.installed import load_lossless
    from rdae.scales import MAX_ERROR

DEFAULTS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=65536")
_SPACE_BYTES = 2 << 30


def examine(data: bytes) -> None:
    """Run one input."""
    oracle.examine(data)


def change(data: bytes, max_size: int, seed: int) -> bytes:
    """Make a new input of an old one."""
    rng = random.Random(seed)
    if rng.random() < 0.1:
        return bytes(atheris.Mutate(data, max_size))
    return mutator.mutate(data, rng)[:max_size]


def limit_address_space() -> None:
    """Let any single allocation beyond the ceiling fail at once, as a MemoryError."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + _SPACE_BYTES, resource.RLIM_INFINITY))


def main() -> None:
    """Fuzz until stopped."""
    given = {argument.split("=")[0] for argument in sys.argv}
    options = [option for option in DEFAULTS if option.split("=")[0] not in given]
    # loads the models, and computes all tables, before memory is measured
    examine(mutator.wild_file(random.Random(0)))
    for most in range(MAX_ERROR + 1):
        load_lossless().mixtures.family(2 * most + 1)
    limit_address_space()
    atheris.Setup([*sys.argv, *options], examine, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
