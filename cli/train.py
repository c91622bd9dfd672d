"""`rdae train`: a model of one's own, from a folder of photos."""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from rdae.cli import encoder_options, options
from rdae.cli.batch import EXIT_INTERRUPTED
from rdae.cli.completion import complete_preset
from rdae.cli.console import Console, UsageError, shown

_RUN, _DATA, _MODEL, _STEP = "Run", "Data", "Model", "Step"


class Precision(str, Enum):
    """Arithmetic of most matrix products in training."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class ModelKind(str, Enum):
    """What a run trains."""

    lossy = "lossy"
    lossless = "lossless"


def _option(group: str, names: str, help: str, **settings: Any) -> Any:
    return typer.Option(
        *names.split(), help=help, rich_help_panel=group, show_default=False, **settings
    )


def train(
    photos: Annotated[
        Path | None, typer.Argument(metavar="PHOTOS", help="Folder of photos.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        _option(_RUN, "-o --output", "Folder of the run; made if needed.", metavar="RUN"),
    ] = None,
    hours: Annotated[
        float | None,
        _option(
            _RUN,
            "--hours",
            "Length of the run, over all its sittings: on GPUs by the clock, on cores what it "
            "computed, which takes longer where others use them. This or --steps is needed.",
            metavar="H",
        ),
    ] = None,
    steps: Annotated[
        int | None, _option(_RUN, "--steps", "The same in steps.", metavar="N", min=1)
    ] = None,
    resume: Annotated[
        bool,
        _option(
            _RUN,
            "--resume",
            "Go on with the run in RUN. Settings that are given anew replace what it has, but for "
            "its pictures, the shares that are held out, --model, --preset and --init.",
        ),
    ] = False,
    init: Annotated[
        Path | None,
        _option(
            _RUN,
            "--init",
            "Start from the weights of another run, a checkpoint or a .safetensors file, as far "
            "as their shapes fit.",
            metavar="FROM",
        ),
    ] = None,
    procs: Annotated[
        int | None,
        _option(_RUN, "--procs", "Processes. Without it: one a GPU or core.", metavar="N", min=1),
    ] = None,
    checkpoint_minutes: Annotated[
        float | None,
        _option(_RUN, "--checkpoint-minutes", "Between checkpoints. [default: 4]", metavar="M"),
    ] = None,
    validation_minutes: Annotated[
        float | None,
        _option(_RUN, "--validation-minutes", "Between validations. [default: 20]", metavar="M"),
    ] = None,
    held_out: Annotated[
        float | None,
        _option(
            _RUN,
            "--held-out",
            "Share of photos to validate on. [default: 0.03]",
            metavar="0..1",
        ),
    ] = None,
    screens: Annotated[
        Path | None,
        _option(
            _DATA,
            "--screens",
            "Folder of screenshots to train on as well.",
            metavar="FOLDER",
        ),
    ] = None,
    screen_share: Annotated[
        float | None,
        _option(
            _DATA,
            "--screen-share",
            "Share of the crops that are of screens. [default: 0.09]",
            metavar="0..1",
        ),
    ] = None,
    screens_held_out: Annotated[
        float | None,
        _option(
            _DATA,
            "--screens-held-out",
            "Share of the screens that is not trained on. [default: 0.125]",
            metavar="0..1",
        ),
    ] = None,
    recolour: Annotated[
        float | None,
        _option(
            _DATA,
            "--recolour",
            "Share of the crops of photos whose colours are changed. [default: 0.1]",
            metavar="0..1",
        ),
    ] = None,
    odd_sizes: Annotated[
        float | None,
        _option(
            _DATA,
            "--odd-sizes",
            "Share of the steps whose crops have sides that are no multiples of 16. [default: 0.3]",
            metavar="0..1",
        ),
    ] = None,
    model: Annotated[
        ModelKind | None,
        _option(
            _MODEL,
            "--model",
            "What is trained: the autoencoder, or the networks of lossless files. [default: lossy]",
            metavar="lossy|lossless",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        _option(
            _MODEL,
            "--preset",
            "Architecture: photo or tiny. [default: photo]",
            metavar="NAME",
            autocompletion=complete_preset,
        ),
    ] = None,
    tune: Annotated[
        encoder_options.TuneName | None,
        _option(
            _MODEL,
            "--tune",
            "Distortion: squared error, or a mix of it with SSIMULACRA2, MS-SSIM and SSIM. "
            "[default: psnr]",
            metavar="psnr|eye",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        _option(_STEP, "--batch", "Crops per process and step. [default: 8]", metavar="N", min=1),
    ] = None,
    crop: Annotated[
        int | None,
        _option(
            _STEP, "--crop", "Side in pixels, a multiple of 64. [default: 256]", metavar="N", min=64
        ),
    ] = None,
    downscale: Annotated[
        float | None,
        _option(
            _STEP,
            "--downscale",
            "Share of the crops that are shrunk, up to 2 times. [default: 0.25]",
            metavar="0..1",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        _option(_STEP, "--learning-rate", "Of the optimizer, SOAP. [default: 0.002]", metavar="X"),
    ] = None,
    precondition_every: Annotated[
        int | None,
        _option(
            _STEP,
            "--precondition-every",
            "Steps between updates of SOAP's eigenvectors. [default: 10]",
            metavar="N",
            min=1,
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        _option(
            _STEP,
            "--precision",
            "Of most matrix products; auto measures which is faster. [default: auto]",
            metavar="auto|float32|bfloat16",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        _option(_STEP, "--seed", "Of initialisation, crops and noise. [default: 0]", metavar="N"),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a model on a folder of photos. Needs rdae[train].

    RUN gets checkpoints, metrics.jsonl, curves.svg and in the end report.md. Ctrl-C ends a
    run with a checkpoint. The last tenth of a run fits the decoder to rounded latents, so a run
    that was stopped before its end is worth less than a shorter one that was not.
    With --model lossless there is no such tenth, and all crops are shrunk: --downscale,
    --recolour and --odd-sizes do not count.

    Examples:
      rdae train photos/ -o run/ --hours 8
      rdae train --resume -o run/
      rdae train --resume -o run/ --hours 16
      rdae train photos/ -o fine/ --hours 1 --init run/
      rdae train photos/ -o exact/ --hours 4 --model lossless --batch 4
      rdae export run/ -o mine.safetensors
    """
    console = Console(quiet=quiet)
    if output is None:
        raise UsageError("-o RUN is missing", hint="rdae train photos/ -o run/ --hours 2")
    if not resume and photos is None:
        raise UsageError(
            "a folder of photos is missing", hint="rdae train photos/ -o run/ --hours 2"
        )
    if init is not None and not init.exists():
        raise UsageError(f"--init {shown(init)}: no such file or folder")
    if not sys.warnoptions:  # as in our own process: warnings are for developers
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
    from rdae.training import require_training

    require_training()
    from rdae.folder_lock import FolderLock
    from rdae.training import launch as training
    from rdae.training.checkpoint import checkpoints

    try:
        config = training.make_config(
            output,
            photos,
            resume=resume,
            hours=hours,
            steps=steps,
            checkpoint_minutes=checkpoint_minutes,
            validation_minutes=validation_minutes,
            held_out=held_out,
            screens=screens and str(screens.resolve()),
            screen_share=screen_share,
            screens_held_out=screens_held_out,
            recolour=recolour,
            odd_sizes=odd_sizes,
            model=model and model.value,
            preset=preset,
            tune=tune and tune.value,
            batch=batch,
            crop=crop,
            downscale=downscale,
            learning_rate=learning_rate,
            precondition_every=precondition_every,
            precision=precision and precision.value,
            seed=seed,
            init=init and str(init.resolve()),
        )
    except ValueError as error:
        raise UsageError(str(error), hint="rdae train --help lists the options") from error

    def decoded(done: int, total: int) -> None:
        console.progress(done, total, "pictures")

    with FolderLock(output) as lock:
        reports = training.prepare_run(output, config, resume=resume, progress=decoded)
        console.clear_progress()
        for report in reports:
            console.result(training.summary(report), [shown(line) for line in report.skipped])
        before = checkpoints(output)
        finished = training.train(output, config, processes=procs, quiet=quiet, lock=lock)
    if finished:
        if before and checkpoints(output) == before:
            length = f"--hours {config.hours:g}" if config.hours else f"--steps {config.steps}"
            console.result(f"the run had ended before: {shown(output / 'report.md')}")
            console.note(f"hint: more than {length} goes on with it")
            return
        console.result(f"done: {shown(output / 'report.md')}")
        return
    console.note(f"stopped; rdae train --resume -o {shown(output)} goes on")
    raise typer.Exit(EXIT_INTERRUPTED)
