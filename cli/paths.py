"""Where each result goes.

Everything that can go wrong with names is found here, before any work: two inputs that want the
same output, an output that is one of the inputs, a folder that does not exist.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rdae.cli.console import STDOUT_NAME, UsageError, describe, shown
from rdae.cli.inputs import Source, place_of
from rdae.errors import OutputExistsError
from rdae.files import atomic_write, is_special

# Names of standard output as a file; replacing these would break it for everyone.
_STDOUT_PATHS = frozenset({"-", "/dev/stdout", "/dev/fd/1"})


@dataclass(frozen=True)
class Task:
    """One input and where its result goes; `output` None is standard output."""

    source: Source
    output: Path | None

    @property
    def output_name(self) -> str:
        """How the output is called in lines and JSON."""
        return STDOUT_NAME if self.output is None else str(self.output)


def plan(
    sources: Sequence[Source],
    *,
    output: str | None,
    output_dir: Path | None,
    name_output: Callable[[Path], Path],
    collision_hint: str,
) -> list[Task]:
    """Give each input its output.

    Args:
        sources: from `expand`.
        output: -o, the name of the only output, or `-`.
        output_dir: --output-dir, a folder that takes all outputs.
        name_output: from the place of the input (moved to `output_dir`) to that of the output.
        collision_hint: what keeps two outputs apart.

    Raises:
        UsageError: contradicting options, two inputs for one output, an output that is an input,
            or an output in a folder that does not exist.
    """
    if output is not None and output_dir is not None:
        raise UsageError("-o and --output-dir contradict each other")
    if output is not None and len(sources) > 1:
        raise UsageError(f"-o takes one input, not {len(sources)}", hint="use --output-dir DIR")
    if output_dir is not None and output_dir.exists() and not output_dir.is_dir():
        raise UsageError(f"{shown(output_dir)}: not a directory")
    tasks = [_plan_one(source, output, output_dir, name_output) for source in sources]
    _refuse_collisions(tasks, collision_hint)
    return tasks


def _plan_one(
    source: Source,
    output: str | None,
    output_dir: Path | None,
    name_output: Callable[[Path], Path],
) -> Task:
    if output is not None and output not in _STDOUT_PATHS:
        path = Path(output)
        if path.is_dir() or output.endswith(os.sep):
            raise UsageError(f"-o {shown(output)}: is a directory", hint="use --output-dir DIR")
        if not path.parent.is_dir():
            raise UsageError(
                f"-o {shown(path)}: there is no folder {shown(path.parent)}",
                hint="make it first; --output-dir DIR makes its own",
            )
        return Task(source, path)
    if output is not None or source.path is None:
        if output_dir is not None:
            raise UsageError("standard input has no name for --output-dir", hint="use -o FILE")
        if sys.stdout.isatty():
            raise UsageError(
                "standard output is a terminal, which binary data would garble",
                hint="use -o FILE, or redirect it",
            )
        return Task(source, None)
    place = source.path
    if output_dir is not None:
        # Files found in a folder keep their place below it; files named one by one lie flat.
        inside = place.name if source.root is None else place.relative_to(source.root)
        place = output_dir / inside
    return Task(source, name_output(place) if source.error is None else place)


def _refuse_collisions(tasks: Sequence[Task], hint: str) -> None:
    live = [task for task in tasks if task.source.error is None]
    inputs = {
        identity: task.source
        for task in live
        if task.source.path is not None and (identity := _identity(task.source.path))
    }
    taken: dict[str, Task] = {}
    for task in live:
        if task.source.path is not None and not os.path.lexists(task.source.path):
            continue  # which is what will be said of it
        if task.output is None or is_special(task.output):
            continue
        other = inputs.get(_identity(task.output) or (0, 0))
        if other is not None:
            raise UsageError(
                f"{shown(task.output)}: this output is the input {shown(other.name)}",
                hint="-o FILE or --output-dir DIR puts it elsewhere",
            )
        first = taken.setdefault(place_of(task.output), task)
        if first is not task:
            raise UsageError(
                f"{shown(first.source.name)} and {shown(task.source.name)} "
                f"would both become {shown(task.output)}",
                hint=hint,
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, through links: equal exactly for names of the same file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_taken(output: Path | None, *, force: bool, skip_existing: bool) -> bool:
    """Tell whether a task is to be skipped because its output exists.

    Raises:
        OutputExistsError: it exists, and nothing was said about that.
    """
    if output is None or force or not os.path.lexists(output) or is_special(output):
        return False
    if skip_existing:
        return True
    error = OutputExistsError("exists")
    error.filename = str(output)
    raise error


def check_switches(
    tasks: Sequence[Task],
    *,
    force: bool,
    skip_existing: bool,
    preserve: bool,
    as_json: bool,
    remove: bool = False,
) -> None:
    """Refuse options that contradict each other or the outputs.

    Raises:
        UsageError: they do.
    """
    if force and skip_existing:
        raise UsageError("-f and --skip-existing contradict each other")
    to_stdout = any(task.output is None for task in tasks)
    if to_stdout and as_json:
        raise UsageError("--json and the output both want standard output", hint="use -o FILE")
    if preserve and (to_stdout or any(task.source.path is None for task in tasks)):
        raise UsageError("-p needs a file on both sides")
    if remove and any(
        task.source.path is None or task.output is None or is_special(task.output) for task in tasks
    ):
        raise UsageError("--rm needs a file on both sides")


def remove_input(task: Task) -> Exception | None:
    """Delete the input of a task whose output is complete on disk.

    Returns:
        What to report if it cannot be deleted.
    """
    assert task.source.path is not None and task.output is not None
    try:
        task.source.path.unlink()
    except OSError as error:
        reason = describe(error).message
        return OSError(f"cannot be deleted: {reason}; its output {shown(task.output)} is complete")
    return None


def skipped_line(task: Task) -> str:
    """Return the result line of a file that was left out."""
    return f"{shown(task.source.name)}: skipped, {shown(task.output_name)} exists"


def write_output(
    task: Task,
    write: Callable[[BinaryIO], object],
    *,
    overwrite: bool,
    like: os.stat_result | None = None,
) -> int:
    """Write a task's output: a file that appears when it is complete, or standard output.

    Args:
        task: says where.
        write: gets the open file.
        overwrite: replace what is there.
        like: the file whose times and permissions the output takes.

    Returns:
        How many bytes were written.

    Raises:
        OutputExistsError: the output has appeared in the meantime.
        OSError: it cannot be written.
    """
    if task.output is not None and not is_special(task.output):
        task.output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(task.output, overwrite=overwrite, like=like) as file:
            write(file)
            return file.tell()
    # A pipe has no way back, which some picture formats need.
    buffer = io.BytesIO()
    write(buffer)
    data = buffer.getvalue()
    if task.output is None:
        _write_stdout(data)
    else:
        with atomic_write(task.output) as file:
            file.write(data)
    return len(data)


def _write_stdout(data: bytes) -> None:
    """Write all bytes to standard output at once.

    Raises:
        OSError: they cannot be written; it names standard output, and nothing is left in a buffer
            that would fail once more.
    """
    sys.stdout.flush()
    raw = getattr(sys.stdout.buffer, "raw", None)
    try:
        if raw is None:  # closed, or replaced by a test's
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        rest = memoryview(data)
        while rest:
            count = raw.write(rest)
            if count is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            rest = rest[count:]
    except OSError as error:
        error.filename = "standard output"
        raise
