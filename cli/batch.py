"""Run a command over many files: one that fails never stops the others.

Every command that takes files runs through `Batch`, so exit codes, error lines, JSON records and
the summary are the same everywhere:

    0    all files done, or skipped as asked
    1    at least one file failed; the others are done
    2    the call itself was wrong; nothing was done
    130  interrupted; what was done is complete, what was not left no trace
    141  the reader of our output went away
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rdae.cli import signals
from rdae.cli.console import Console, describe, human_bytes, human_seconds
from rdae.cli.paths import Task

SUMMARY_SCHEMA = "rdae.summary/1"
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_CLOSED_PIPE = 1, 2, 130, 141

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        line: the result line.
        details: further lines, indented below it.
        record: the JSON record's own fields.
        input_bytes, output_bytes, pixels: for the summary.
        skipped: nothing was done, as asked.
        error: what is wrong all the same; the file counts as failed.
    """

    line: str
    details: Sequence[str] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    input_bytes: int = 0
    output_bytes: int = 0
    pixels: int = 0
    skipped: bool = False
    error: Exception | None = None


class Batch:
    """The loop over the files of one command."""

    def __init__(
        self,
        console: Console,
        *,
        schema: str,
        done_word: str,
        fields: Sequence[str],
        fail_fast: bool = False,
        fatal: tuple[type[Exception], ...] = (),
    ) -> None:
        """Prepare a batch.

        Args:
            console: where lines and records go.
            schema: name and version of the JSON records, `rdae.compress/1`.
            done_word: what is done to a file, as in `3 of 4 compressed`; "" for no such line.
            fields: the keys of every record besides the common ones; null where unknown.
            fail_fast: stop at the first failure.
            fatal: errors that every other file would meet too, so that the batch stops.
        """
        self._console = console
        self._schema, self._done_word, self._fields = schema, done_word, tuple(fields)
        self._fail_fast, self._fatal = fail_fast, fatal
        self._outcomes: list[Outcome] = []
        self._failed = self._written = 0  # files; outputs of those that failed
        self._stops = False
        self._began = time.perf_counter()

    def run(self, tasks: Sequence[Task], work: Callable[[Task], Outcome]) -> int:
        """Do the work for each task, say what became of it, and return the exit code."""
        try:
            for number, task in enumerate(tasks):
                self._console.progress(number, len(tasks), task.source.name)
                self._attempt(task, work)
                signals.check()
                if self._stops:
                    break
            code = EXIT_FAILED if self._failed else 0
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        finally:
            self._console.clear_progress()
        self._summarise(len(tasks), interrupted=code == EXIT_INTERRUPTED)
        return code

    def _attempt(self, task: Task, work: Callable[[Task], Outcome]) -> None:
        source = task.source
        _log.debug("%s: begin", source.name)
        common = {
            "schema": self._schema,
            "ok": True,
            "skipped": False,
            "input": "-" if source.path is None else source.name,
        }
        blank = dict.fromkeys(self._fields)
        try:
            if source.error is not None:
                raise source.error
            outcome = work(task)
        except BrokenPipeError:
            raise
        except Exception as error:
            signals.check()
            self._fail(source.name, error, {**common, **blank})
            return
        self._console.result(outcome.line, outcome.details)
        if outcome.error is not None:
            self._fail(source.name, outcome.error, {**common, **blank, **outcome.record})
            self._written += outcome.output_bytes > 0
            return
        self._outcomes.append(outcome)
        self._console.record(
            {**common, **blank, **outcome.record, "skipped": outcome.skipped, "error": None}
        )

    def _fail(self, name: str, error: Exception, record: Mapping[str, Any]) -> None:
        self._failed += 1
        self._stops = self._fail_fast or isinstance(error, self._fatal)
        self._console.failure(_guilty(error) or name, error)
        failure = describe(error)
        details = {"code": failure.code, "message": failure.message, "hint": failure.hint}
        self._console.record({**record, "ok": False, "error": details})

    def _summarise(self, total: int, *, interrupted: bool) -> None:
        done = [outcome for outcome in self._outcomes if not outcome.skipped]
        skipped = len(self._outcomes) - len(done)
        input_bytes = sum(outcome.input_bytes for outcome in done)
        output_bytes = sum(outcome.output_bytes for outcome in done)
        elapsed = time.perf_counter() - self._began
        self._console.record(
            {
                "schema": SUMMARY_SCHEMA,
                "ok": not self._failed and not interrupted,
                "inputs": total,
                "done": len(done),
                "skipped": skipped,
                "failed": self._failed,
                "failed_with_output": self._written,
                "interrupted": interrupted,
                "input_bytes": input_bytes,
                "output_bytes": output_bytes,
                "elapsed_s": round(elapsed, 3),
            }
        )
        if total > 1 and self._done_word:
            parts = [f"{len(done)} of {total} {self._done_word}"]
            if done and output_bytes:
                bpp = 8 * output_bytes / max(1, sum(outcome.pixels for outcome in done))
                rate = f" ({bpp:.3f} bpp)" if self._done_word == "compressed" else ""
                parts.append(f"{human_bytes(input_bytes)} → {human_bytes(output_bytes)}{rate}")
            parts.append(human_seconds(elapsed))
            parts += [f"{skipped} skipped"] * bool(skipped)
            written = f", of {self._written} an output was written" if self._written else ""
            parts += [f"{self._failed} failed{written}"] * bool(self._failed)
            self._console.result(" · ".join(parts))
        if interrupted:
            self._console.failure("", KeyboardInterrupt())


def _guilty(error: Exception) -> str:
    """The file that the system complained about: the output of a failed write, for one."""
    name = getattr(error, "filename", None)
    return str(name) if isinstance(name, str) else ""
