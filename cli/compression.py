"""One picture to one .rd file: what `rdae compress` does for each of its inputs, and says of it."""

from __future__ import annotations

import io
import logging
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rdae.cli import figures
from rdae.cli.batch import Outcome
from rdae.cli.console import Console, human_bytes, human_seconds, shown
from rdae.cli.inputs import Source
from rdae.cli.paths import Task, is_taken, remove_input, skipped_line, write_output
from rdae.cli.remarks import is_doubtful, remarks_on, smaller_exact_bytes
from rdae.cli.target import Target
from rdae.errors import OutputExistsError, grouped

if TYPE_CHECKING:
    from rdae.codec.smaller import Choice
    from rdae.images.picture import Picture
    from rdae.lossless.model import LosslessModel
    from rdae.model.model import Model

_log = logging.getLogger(__name__)


@dataclass
class Compression:
    """How `rdae compress` makes one .rd file of one picture; its fields are its options."""

    target: Target
    effort: int
    tune: str | None
    console: Console
    model: str | None
    threads: int | None
    strip: frozenset[str]
    max_pixels: int
    conversions: dict[str, bool]
    force: bool
    skip_existing: bool
    keep_if_smaller: bool
    remove: bool
    preserve: bool
    dry_run: bool
    show_psnr: bool
    verbose: int

    def __call__(self, task: Task) -> Outcome:
        """Compress the input of a task."""
        try:
            skip = is_taken(task.output, force=self.force, skip_existing=self.skip_existing)
        except OutputExistsError:
            self._check(task.source)  # what is wrong with the input itself is said first
            raise
        if skip:
            return Outcome(skipped_line(task), record={"output": task.output_name}, skipped=True)
        from rdae import codec
        from rdae.codec import check_padding, measures
        from rdae.codec.smaller import Choice, encode_asked, encode_smaller
        from rdae.model import installed as store
        from rdae.model.model import Model

        progress = self.console.working(task.source.name)
        began = time.perf_counter()
        model = store.load_model(self.model) if self.target.has_lossy else store.load_lossless()
        load_s = time.perf_counter() - began
        _log.debug("loaded model %s", _name(model))
        picture, input_bytes, like = self._read(task.source)
        _log.debug("read %d bytes, %dx%d pixels", input_bytes, picture.width, picture.height)
        check_padding(picture.width, picture.height, self.max_pixels)
        settings: dict[str, Any] = {
            "quality": self.target.quality,
            "target_size": self.target.size,
            "target_bpp": self.target.bpp,
            "target_psnr": self.target.psnr,
            "target_ssimulacra2": self.target.ssimulacra2,
            "effort": self.effort,
            "tune": self.tune,
            "model": model if isinstance(model, Model) else None,
            "threads": self.threads,
            "progress": progress,
        }
        if self.target.or_lossless:
            choice = encode_smaller(picture, **settings)
        else:
            settings |= {"max_error": self.target.max_error, "base": self.target.base}
            if self.model is None:
                choice = encode_asked(picture, **settings)
            else:
                choice = Choice(codec.encode(picture, **settings))
        encoded = choice.kept
        if encoded.info.is_lossless and encoded.info.rest is None:
            model = store.load_lossless()
        size = len(encoded.data)
        if self.keep_if_smaller and size >= input_bytes:
            line = f"{shown(task.source.name)}: kept, its .rd file would have {human_bytes(size)}"
            return Outcome(
                f"{line}, no less than its {human_bytes(input_bytes)}",
                record={"input_bytes": input_bytes, "output_bytes": size},
                skipped=True,
            )
        if not self.dry_run:
            write_output(
                task,
                lambda file: file.write(encoded.data),
                overwrite=self.force,
                like=like if self.preserve else None,
            )
        _log.debug("encoded %d bytes", len(encoded.data))
        psnr = ssimulacra2 = None
        is_judged = self.target.ssimulacra2 is not None
        if self.shows_psnr or is_judged or is_doubtful(encoded.info):
            decoded = codec.decode(
                encoded.data,
                max_pixels=self.max_pixels,
                # which need not be an installed model's
                weights=model.path if isinstance(model, Model) else None,
                threads=self.threads,
            )
            psnr = measures.PSNR.value(picture, decoded.rgb)
            if is_judged:
                ssimulacra2 = measures.SSIMULACRA2.value(picture, decoded.rgb)
        exact_bytes = (
            None
            if self.target.or_lossless  # the smaller one has been found
            else smaller_exact_bytes(picture, encoded.info, input_bytes)
        )
        error = remove_input(task) if self.remove else None
        remarks = remarks_on(
            encoded.info,
            input_bytes,
            psnr,
            self.target,
            exact_bytes=exact_bytes,
            to_8bit=self.conversions["to_8bit"],
        )
        measured = {"psnr": psnr if self.shows_psnr else None, "ssimulacra2": ssimulacra2}
        outcome = self._outcome(task, choice, input_bytes, _name(model), load_s, measured, remarks)
        return replace(outcome, error=error)

    def _outcome(
        self,
        task: Task,
        choice: Choice,
        input_bytes: int,
        model_name: str,
        load_s: float,
        measured: dict[str, float | None],
        remarks: list[str],
    ) -> Outcome:
        encoded = choice.kept
        info, size = encoded.info, len(encoded.data)
        quality = self.target.quality if self.target.is_quality else round(info.quality, 2)
        mode = figures.mode_name(is_grey=info.is_grey, has_alpha=info.has_alpha)
        record: dict[str, Any] = {
            "output": task.output_name,
            "width": info.width,
            "height": info.height,
            "mode": mode,
            "input_bytes": input_bytes,
            "output_bytes": size,
            "metadata_bytes": info.metadata_bytes,
            **figures.split_record(info),
            "bpp": info.bpp,
            "ratio": input_bytes / size,
            "raw_ratio": figures.raw_bytes(info) / size,
            "lossless": info.is_lossless,
            "max_error": info.max_error,
            "base_quality": info.base_quality,
            "other_bytes": choice.other_bytes,
            "quality": None if info.is_lossless else quality,
            "quality_point": None if info.is_lossless else info.quality_point,
            "effort": self.effort,
            "tries": encoded.tries,
            **measured,
            "remarks": remarks,
            "model": model_name,
            "model_id": info.model_id,
            "encode_s": encoded.encode_s,
            "load_s": load_s,
            "dry_run": self.dry_run,
        }
        ratio = figures.ratio_text(input_bytes, size)
        parts = [
            f"{shown(task.source.name)} → {shown(task.output_name)} ",
            f"{human_bytes(input_bytes)} → {human_bytes(size)}",
            f"({grouped(8 * size)} bits, {info.bpp:.3f} bpp, {ratio})",
            self._quality_text(choice),
            *figures.measured_texts(measured),
            *(
                [f"{encoded.tries} {'try' if encoded.tries == 1 else 'tries'}"]
                if encoded.tries
                else []
            ),
            human_seconds(encoded.encode_s),
            *(["not written (dry run)"] if self.dry_run else []),
        ]
        details = list(remarks)
        if self.verbose:
            details += [
                figures.split_line(info),
                f"{figures.shape_name(info.width, info.height, mode)} · "
                f"{info.tile_columns}x{info.tile_rows} tiles · model {model_name} "
                f"(id {info.model_id})" + figures.point_text(info),
                f"model loaded in {human_seconds(load_s)}{figures.peak_memory()}",
                *(f"{kind} {human_bytes(count)}" for kind, count in info.metadata.items()),
            ]
        return Outcome(
            "  ".join(parts),
            details,
            figures.rounded(record),
            input_bytes=input_bytes,
            output_bytes=size,
            pixels=info.width * info.height,
        )

    def _quality_text(self, choice: Choice) -> str:
        info, other = choice.kept.info, choice.other_bytes
        quality = self.target.quality if self.target.is_quality else round(info.quality, 1)
        text = f"q{quality:g}"
        if info.is_lossless:  # of more bits or other colours that an input had nothing is left
            text = figures.exactness(info) + " at 8 bits" * self.conversions["to_8bit"]
            text += " in sRGB" * self.conversions["to_srgb"]
        if not self.target.or_lossless:
            return text
        if info.is_lossless:  # without a lossy file where a target could not be met
            return text if other is None else f"{text} (lossy: {human_bytes(other)})"
        return f"{text} (lossless: {'larger' if other is None else human_bytes(other)})"

    @property
    def shows_psnr(self) -> bool:
        """Whether the PSNR is asked for, or the target, so that one sees what was reached."""
        return self.show_psnr or self.target.psnr is not None

    def _check(self, source: Source) -> None:
        """Refuse what is no picture or none for us, without decoding it."""
        from rdae.images.reader import Allowed, open_image

        if source.path is None or (os.path.exists(source.path) and not os.path.isfile(source.path)):
            return  # what a pipe holds can be read only once
        with source.path.open("rb") as file:
            open_image(file, max_pixels=self.max_pixels, allowed=Allowed(**self.conversions))

    def _read(self, source: Source) -> tuple[Picture, int, os.stat_result | None]:
        from rdae.images.pillow import read_picture

        like = None if source.path is None else source.path.stat()
        if source.path is not None and os.path.isfile(source.path):
            picture = read_picture(source.path, max_pixels=self.max_pixels, **self.conversions)
            input_bytes = source.path.stat().st_size
        else:  # a pipe, which a picture reader cannot go back in
            data = source.read()
            file = io.BytesIO(data)
            picture = read_picture(file, max_pixels=self.max_pixels, **self.conversions)
            input_bytes = len(data)
        return picture.without(self.strip), input_bytes, like


def _name(model: Model | LosslessModel) -> str:
    return model.name if hasattr(model, "name") else model.description.name
