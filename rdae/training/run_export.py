"""The newest checkpoint of a run to a weights file, of whichever kind the run trains."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import torch

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.errors import RdaeError
from rdae.model.spec import ModelSpec
from rdae.model.weights_file import Description
from rdae.scales import LAMBDA_RANGE
from rdae.training.checkpoint import checkpoints
from rdae.training.config import read_config
from rdae.training.data import PHOTO_CACHE, SCREENS_CACHE, PhotoCache
from rdae.training.export import export
from rdae.training.log import read_metrics
from rdae.training.lossless_export import export_lossless
from rdae.training.lossless_networks import LosslessNetworks
from rdae.training.lossless_task import calibration_crops as lossless_calibration_crops

MOST_HASHES = 1 << 16  # of pictures, in a weights file, whose header has a limit


def export_run(
    run: Path, output: Path, *, name: str, model_id: int, provenance: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Export the newest checkpoint of a run.

    Its provenance gets steps, hours and date; that of a lossy model also what the last validation
    measured and the hashes of photos and screens, of the first 65 536 of many. Its tables of y are
    fitted to the run's photos.

    Args:
        run: a run folder, or one of its checkpoints.
        output: the weights file to write.
        name: of the model.
        model_id: its permanent number, 1 to 255.
        provenance: what else to say of it: data, licences, rate-distortion points.

    Returns:
        How the file says that it was made.

    Raises:
        RdaeError: there is no checkpoint, a cache of photos or screens is missing, or name or
            provenance are not what they must be.
        ModelError: as of `export`.
    """
    folder = (checkpoints(run) or [run.absolute()])[-1]
    if not (folder / "model.pt").is_file():
        raise RdaeError(f"{run} holds no checkpoint", hint="rdae train makes one")
    photos = _cache(folder.parent / PHOTO_CACHE)
    content = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    config = read_config(folder.parent)
    found = {
        "steps": content["step"],
        "hours": round(content["seconds"] / 3600, 2),
        "date": datetime.date.today().isoformat(),
    }
    if config.model == "lossless":
        found |= provenance or {}
        net = LosslessNetworks(**json.loads(content["spec"]))
        net.load_state_dict(content["ema"])
        crops = lossless_calibration_crops(photos)
        export_lossless(net, output, crops, name=name, model_id=model_id, provenance=found)
        return found
    for record in read_metrics(folder.parent):
        if "validation" in record and record["step"] <= content["step"]:
            found["rd_points"] = record["validation"]
    pictures = photos.sha256
    if config.screens is not None:
        pictures = pictures + _cache(folder.parent / SCREENS_CACHE).sha256
    found["photo_sha256"] = pictures[:MOST_HASHES]  # `rdae eval` warns of pictures among them
    found |= {"lambda_range": list(LAMBDA_RANGE), "tune": config.tune, **(provenance or {})}
    model = Autoencoder(ModelSpec.from_json(content["spec"]))
    model.load_state_dict(content["ema"])
    description = Description(model_id, name, model.spec, found)
    try:
        description.validate()
    except ValueError as error:
        raise RdaeError(
            f"{output}: {error}", hint="--name and --provenance say what stands there"
        ) from error
    export(model, output, description, photos)
    return found


def _cache(path: Path) -> PhotoCache:
    if not path.is_file():
        raise RdaeError(f"{path} is missing", hint="rdae train --resume builds it again")
    return PhotoCache(path)
