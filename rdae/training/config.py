"""What a training run depends on, and the file of a run folder that holds it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdae.errors import RdaeError
from rdae.files import atomic_write
from rdae.model.presets import PRESETS
from rdae.scales import TUNES

MODELS = ("lossy", "lossless")
PRECISIONS = ("auto", "float32", "bfloat16")


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


def _option(name: str) -> str:
    """How a setting is called where people give it."""
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run depends on but its processes; `RUN/config.json`.

    Raises:
        ValueError: a value is out of its range, or not exactly one of `hours` and `steps` is given.
    """

    photos: str  # absolute path of the folder
    model: str = _setting("lossy", f"what is trained: {' or '.join(MODELS)}")
    preset: str = _setting("photo", f"architecture: {' or '.join(PRESETS)}")
    hours: float | None = _setting(None, "length of the run, over all its sittings")
    steps: int | None = _setting(None, "the same in steps")
    batch: int = _setting(8, "crops per process and step")
    crop: int = _setting(256, "side of a crop in pixels, a multiple of 64")
    tune: str = _setting("psnr", f"the distortion: {' or '.join(TUNES)}")
    learning_rate: float = _setting(2e-3, "of SOAP; Adam has half of it")
    precision: str = _setting("auto", "of most matrix products; auto measures what is faster")
    downscale: float = _setting(0.25, "share of the crops that are shrunk, up to 2 times")
    recolour: float = _setting(0.1, "share of the crops of photos whose colours are changed")
    odd_sizes: float = _setting(0.3, "share of the steps whose crops end anywhere in a cell")
    screens: str | None = _setting(None, "folder of screenshots, to train on beside the photos")
    screen_share: float = _setting(0.09, "share of the crops that are of screens")
    screens_held_out: float = _setting(0.125, "share of the screens that is not trained on")
    held_out: float = _setting(0.03, "share of the photos that only validate")
    precondition_every: int = _setting(10, "steps between updates of SOAP's eigenvectors")
    checkpoint_minutes: float = _setting(4.0, "time between checkpoints")
    validation_minutes: float = _setting(20.0, "time between validations")
    init: str | None = _setting(None, "run, checkpoint or weights file to start from")
    seed: int = _setting(0, "of initialisation, crops and noise")

    def __post_init__(self) -> None:
        if self.hours is None and self.steps is None:
            raise ValueError("--hours or --steps is missing: how long is the run?")
        if self.hours is not None and self.steps is not None:
            raise ValueError("--hours and --steps exclude each other")
        if self.model not in MODELS:
            raise ValueError(f"--model is one of {', '.join(MODELS)}, not {self.model}")
        if self.preset not in PRESETS:
            raise ValueError(f"there is no preset {self.preset}, only {', '.join(PRESETS)}")
        if self.tune not in TUNES:
            raise ValueError(f"--tune is one of {', '.join(TUNES)}, not {self.tune}")
        if self.model == "lossless" and self.tune != "psnr":
            raise ValueError(f"--tune {self.tune} is for lossy models: exact pixels have no tune")
        if self.precision not in PRECISIONS:
            raise ValueError(f"--precision is one of {', '.join(PRECISIONS)}, not {self.precision}")
        if self.crop < 64 or self.crop % 64:
            raise ValueError(f"--crop is a multiple of 64, not {self.crop}")
        for name in ("hours", "steps", "batch", "learning_rate", "precondition_every"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{_option(name)} must be above 0, not {value:g}")
        for name in ("checkpoint_minutes", "validation_minutes"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{_option(name)} must be 0 or more, not {getattr(self, name):g}")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"--seed must be from 0 to 2^63 - 1, not {self.seed}")
        shares = ("downscale", "recolour", "odd_sizes", "screen_share", "held_out")
        for name in (*shares, "screens_held_out"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{_option(name)} is a share from 0 to 1, not {getattr(self, name):g}"
                )


def write_config(run: Path, config: TrainConfig) -> None:
    """Write `RUN/config.json`; a run that is continued is held to it."""
    with atomic_write(run / "config.json", overwrite=True) as out:
        out.write(json.dumps(vars(config), indent=2).encode() + b"\n")


def read_config(run: Path, **changes: Any) -> TrainConfig:
    """Read `RUN/config.json`.

    Args:
        run: the run folder.
        changes: values that are not None replace those of the file; `hours` takes the place of
            `steps`, and the other way round.

    Raises:
        RdaeError: there is no such file, or it is of another version.
        ValueError: a change is out of its range, or of what cannot change in a run.
    """
    path = run / "config.json"
    if not path.is_file():
        raise RdaeError(f"{run} holds no run to resume", hint="without --resume it starts one")
    known = {setting.name for setting in dataclasses.fields(TrainConfig)}
    try:
        found = json.loads(path.read_text())
        config = TrainConfig(**{name: found[name] for name in known & found.keys()})
    except (ValueError, TypeError, AttributeError) as error:
        raise RdaeError(f"{path} is not the configuration of a run: {error}") from error
    given = {name: value for name, value in changes.items() if value is not None}
    kept = ["model", "preset", "held_out", "init"]
    if config.screens is not None:
        kept.append("screens_held_out")
    for name in kept:
        if name in given and given[name] != getattr(config, name):
            raise ValueError(f"a run keeps its {_option(name)}: {getattr(config, name)}")
    if given.keys() & {"hours", "steps"}:
        given = {"hours": None, "steps": None, **given}
    return dataclasses.replace(config, **given)
