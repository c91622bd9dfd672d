"""`rdae export`: a trained run to a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rdae.cli import options
from rdae.cli.console import Console, UsageError, human_bytes, shown
from rdae.errors import OutputExistsError

OWN_MODEL_ID = 255  # for models that nobody else needs to tell apart


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or a checkpoint of it.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The weights file.", metavar="NAME.safetensors"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Name of the model. Without it: that of the file.", metavar="NAME"
        ),
    ] = None,
    model_id: Annotated[
        int,
        typer.Option(
            "--id",
            help="Permanent number of the model.",
            metavar="1..255",
            min=1,
            max=255,
        ),
    ] = OWN_MODEL_ID,
    provenance: Annotated[
        Path | None,
        typer.Option(
            "--provenance", help="JSON object: data, licences and so on.", metavar="FILE.json"
        ),
    ] = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Export a trained run to a weights file. Needs rdae[train].

    The file works with compress -m and decompress --weights. In the folder that
    RDAE_WEIGHTS_DIR names, all commands find it by themselves, and rdae models shows its card.
    That of a lossless model only decodes, and only with --weights: compress --lossless writes
    with the one that comes with rdae.

    Examples:
      rdae export run/ -o mine.safetensors
      rdae compress photo.png -m mine.safetensors
    """
    console = Console(quiet=quiet)
    if output is None:
        raise UsageError("-o FILE is missing", hint=f"rdae export {shown(run)} -o mine.safetensors")
    if output.suffix != ".safetensors":
        raise UsageError(f"{shown(output)}: the name of a weights file ends in .safetensors")
    if not output.parent.is_dir():
        raise UsageError(f"{shown(output.parent)}: no such folder")
    if output.exists() and not force:
        raise OutputExistsError(f"{shown(output)} exists", hint="-f replaces it")
    more = _read_provenance(provenance) if provenance else {}
    from rdae.training import require_training

    require_training()
    from rdae.training.run_export import export_run

    found = export_run(run, output, name=name or output.stem, model_id=model_id, provenance=more)
    console.result(
        f"{shown(run)} → {shown(output)}   {human_bytes(output.stat().st_size)}, "
        f"{found['steps']} steps, proved exact"
    )


def _read_provenance(path: Path) -> dict[str, Any]:
    from rdae.tensor_file import read_json

    try:
        found = read_json(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"--provenance {shown(path)}: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"--provenance {shown(path)}: not a JSON object")
    return found
