"""`rdae models`: the models that are installed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rdae.cli import options
from rdae.cli.batch import EXIT_FAILED
from rdae.cli.completion import complete_model
from rdae.cli.console import Console, UsageError, emit, human_bytes, shown, table
from rdae.cli.help import Command, Group
from rdae.cli.versions import kernel_line
from rdae.errors import WeightsMismatchError

if TYPE_CHECKING:
    from rdae.model.cards import Card

SCHEMA = "rdae.model/1"

Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]

app = typer.Typer(cls=Group, rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: Json = False) -> None:
    """List and describe the installed models.

    These are the models that come with rdae, and those in the folder RDAE_WEIGHTS_DIR.

    Examples:
      rdae models
      rdae models show photo
      rdae models verify
    """
    if context.invoked_subcommand is None:
        show_list(as_json=as_json)
    elif as_json:
        raise UsageError(f"--json goes behind {context.invoked_subcommand}")


@app.command("list", cls=Command)
def list_command(as_json: Json = False) -> None:
    """List the installed models.

    DEC and ENC are thousands of multiplications a pixel; RANGE is from the lowest to the
    highest quality on photographs. The model of --lossless and --max-error stands last.

    Examples:
      rdae models list
      rdae models list --json
    """
    show_list(as_json=as_json)


def show_list(*, as_json: bool) -> None:
    """Print the table of models, or one JSON object a model."""
    from rdae.model.cards import list_models, lossless_card

    cards = [*list_models(), lossless_card()]
    if as_json:
        for card in cards:
            emit(json.dumps(_record(card)))
        return
    rows = [("ID", "NAME", "DEFAULT", "WEIGHTS", "PARAMS", "DEC kMAC/px", "ENC", "RANGE (bpp)")]
    for card in cards:
        rates = [float(point["bpp"]) for point in _points(card)]
        rows.append(
            (
                str(card.id),
                shown(card.name),
                "yes" if card.default else "",
                human_bytes(card.bytes),
                _millions(card.parameters, 1),
                f"{card.decoder_kmacs:.1f}",
                f"{card.encoder_kmacs:.1f}",
                _range(card, rates),
            )
        )
    emit(table(rows, left=frozenset({1, 2})))


@app.command("show", cls=Command)
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of a model.", autocompletion=complete_model),
    ],
    as_json: Json = False,
) -> None:
    """Show all that is known of a model: size, training, typical rates and what they give.

    Examples:
      rdae models show photo
      rdae models show photo --json
    """
    from rdae.model.cards import lossless_card
    from rdae.model.installed import load_model

    lossless = lossless_card()
    card = lossless if name == lossless.name else _find(name)
    if as_json:
        emit(json.dumps(_record(card)))
        return

    facts = {
        "name": card.name + (" (default)" if card.default else ""),
        "id": str(card.id),
        "fingerprint": card.fingerprint or load_model(card.file).fingerprint.hex(),
        "file": str(card.file),
        "size": human_bytes(card.bytes),
        "sha256": card.sha256 or f"{hashlib.sha256(card.file.read_bytes()).hexdigest()} (your own)",
        "parameters": _millions(card.parameters, 2),
        "decoder": f"{card.decoder_kmacs:.1f} kMAC/pixel",
        "encoder": f"{card.encoder_kmacs:.1f} kMAC/pixel",
    }
    for key, value in card.provenance.items():
        if key == "photo_sha256":
            facts["photos"] = f"{len(value)}, known by their SHA-256"
        elif key != "rd_points":
            facts.setdefault(key, value if isinstance(value, str) else json.dumps(value))
    width = max(map(len, facts))
    emit("\n".join(f"{key:<{width}}  {shown(value)}" for key, value in facts.items()))
    if points := _points(card):
        rows: list[tuple[str, ...]] = [("QUALITY", "BPP", "PSNR dB"), *_rate_rows(card)]
        if all("ssimulacra2" in point for point in points):  # of shipped models
            column = ["SSIMULACRA2", *(f"{point['ssimulacra2']:.1f}" for point in points)]
            rows = [(*row, cell) for row, cell in zip(rows, column, strict=True)]
        emit("\n" + table(rows))


@app.command("verify", cls=Command)
def verify(as_json: Json = False, quiet: options.Quiet = False) -> None:
    """Check every weights file to the last byte, and that its arithmetic is exact.

    The exit code is 1 if one fails.

    Examples:
      rdae models verify
    """
    from rdae.model.installed import verify_weights

    console = Console(quiet=quiet, as_json=as_json)
    failed = False
    for path, problem in verify_weights():
        error = {"code": WeightsMismatchError.code, "message": problem, "hint": ""}
        console.record(
            {
                "schema": "rdae.model-verify/1",
                "ok": not problem,
                "file": str(path),
                "error": error if problem else None,
            }
        )
        if problem:
            failed = True
            console.failure(str(path), WeightsMismatchError(problem))
        else:
            console.result(f"{shown(path)}: {console.good('ok')}")
    console.note(kernel_line())
    if failed:
        raise typer.Exit(EXIT_FAILED)


def require_model(name: str) -> None:
    """Refuse the name of a model that is not installed, before any work is done with it.

    Raises:
        UsageError: there is no such model, and no weights file of that name; or it is lossless.
    """
    from rdae.model.installed import is_weights_file

    if not is_weights_file(name):
        _find(name)
        return
    if not Path(name).exists():  # in vain where a model does not count, as with --lossless
        raise UsageError(f"-m {shown(name)}: there is no such weights file")
    from rdae.lossless.model import is_lossless

    if is_lossless(Path(name)):
        raise UsageError(
            f"-m {shown(name)}: a lossless model only decodes",
            hint="--lossless without -m writes with the one that comes with rdae",
        )


def typical_rates() -> str:
    """Return what the default model's qualities mean on photographs, for the help; or nothing."""
    from rdae.model.cards import list_models

    try:
        card = next(card for card in list_models() if card.default)
    except Exception:
        # The help must come however broken the installation is.
        return ""
    rows = [("-q", "bpp", "PSNR dB"), *_rate_rows(card)]
    return f"Typical of photographs, model {card.name}:\n{table(rows)}" if rows[1:] else ""


def _find(name: str) -> Card:
    from rdae.model.cards import list_models

    cards = list_models()
    for card in cards:
        if card.name == name:
            return card
    known = ", ".join(card.name for card in cards) or "none"
    if name == "lossless":
        known += "; lossless files are written with --lossless"
    effort = "; -e 1..9 is the effort" if name.isdigit() else ""  # cwebp's -m
    raise UsageError(f"there is no model {shown(name)}", hint=f"installed: {known}{effort}")


def _range(card: Card, rates: list[float]) -> str:
    """What a model's files take, from the lowest to the highest quality."""
    if card.lossless:
        return "lossless"
    return f"{min(rates):.2f}-{max(rates):.2f}" if rates else ""


def _millions(count: int, digits: int) -> str:
    return f"{count / 1e6:.{digits}f} M" if count else "unknown"


def _rate_rows(card: Card) -> list[tuple[str, str, str]]:
    return [
        (f"{point['quality']:g}", f"{point['bpp']:.3f}", f"{point['psnr']:.2f}")
        for point in _points(card)
    ]


def _points(card: Card) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = card.provenance.get("rd_points", [])
    return points


def _record(card: Card) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "id": card.id,
        "name": card.name,
        "default": card.default,
        "lossless": card.lossless,
        "file": str(card.file),
        "bytes": card.bytes,
        "sha256": card.sha256,
        "fingerprint": card.fingerprint,
        "parameters": card.parameters,
        "decoder_kmacs": card.decoder_kmacs,
        "encoder_kmacs": card.encoder_kmacs,
        "provenance": card.provenance,
    }
