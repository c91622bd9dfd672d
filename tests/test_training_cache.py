"""What a run trains on: the caches of its pictures, what they leave out, hold out and crop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("compressai")

from rdae.errors import RdaeError
from rdae.images.picture import Picture
from rdae.training.config import TrainConfig, read_config
from rdae.training.data import (
    PhotoCache,
    build_cache,
    difference_hash,
    evaluation_hashes,
    same_picture,
)
from rdae.training.launch import prepare_run, summary
from tests.training_samples import of_noise, run_of_three


@pytest.fixture
def run(tmp_path: Path, photo: Picture) -> Path:
    return run_of_three(tmp_path, photo)


def test_a_run_folder_keeps_to_its_pictures(tmp_path):
    run = tmp_path / "run"
    photos, photos_2 = of_noise(tmp_path / "photos"), of_noise(tmp_path / "photos_2")
    screens, screens_2 = of_noise(tmp_path / "screens"), of_noise(tmp_path / "screens_2")

    def prepare(photos: str, screens: str | None, **settings: Any) -> None:
        settings = {"held_out": 0.5, "screens_held_out": 0.5, **settings}
        config = TrainConfig(photos=photos, screens=screens, steps=1, **settings)
        prepare_run(run, config, resume=False)
        assert read_config(run) == config

    prepare(photos, screens)
    prepare(photos, screens)
    with pytest.raises(RdaeError, match="holds the photos of") as caught:
        prepare(photos_2, screens)
    assert "delete" in caught.value.hint
    with pytest.raises(RdaeError, match=r"was made with --held-out 0\.5, not 0\.1") as caught:
        prepare(photos, screens, held_out=0.1)
    assert "delete" in caught.value.hint
    prepare(photos, None)  # config.json has other screens now: none
    with pytest.raises(RdaeError, match="holds the screens of") as caught:
        prepare(photos, screens_2)
    assert "delete" in caught.value.hint
    with pytest.raises(RdaeError, match=r"was made with --screens-held-out 0\.5, not 0\.2"):
        prepare(photos, screens, screens_held_out=0.2)
    (run / "photos.u8").unlink()  # as a hint says, to change the photos
    with pytest.raises(RdaeError, match="holds the screens of"):
        prepare(photos_2, screens_2)
    assert not (run / "photos.u8").exists()
    prepare(photos_2, screens)
    (run / "screens.u8").unlink()
    prepare(photos_2, screens_2)
    (run / "config.json").unlink()
    with pytest.raises(RdaeError, match="holds the photos of"):
        prepare(photos, screens_2)


def test_of_caches_of_early_versions_the_configuration_says_what_they_hold(tmp_path):
    run, photos, other = tmp_path / "run", of_noise(tmp_path / "photos"), of_noise(tmp_path / "b")
    config = TrainConfig(photos=photos, steps=1)
    prepare_run(run, config, resume=False)
    index = json.loads((run / "photos.json").read_text())
    (run / "photos.json").write_text(json.dumps(index["pictures"]))
    assert len(PhotoCache(run / "photos.u8").training) == 1
    assert prepare_run(run, config, resume=False) == []
    for changed, said in (({"photos": other}, "photos of"), ({"held_out": 0.1}, "--held-out 0.03")):
        with pytest.raises(RdaeError, match=said):
            prepare_run(run, replace(config, **changed), resume=False)
    (run / "config.json").unlink()  # nobody knows
    assert prepare_run(run, config, resume=False) == []


def test_pictures_that_cannot_be_used_are_called_by_their_kind(tmp_path):
    run, photos = tmp_path / "run", of_noise(tmp_path / "photos")
    config = TrainConfig(photos=photos, screens=str(tmp_path / "none"), steps=1)
    with pytest.raises(RdaeError, match="none is not a folder of screens"):
        prepare_run(run, config, resume=False)
    assert not run.exists()  # said before an hour of work on photos
    one = of_noise(tmp_path / "one", 1)
    with pytest.raises(RdaeError, match="1 screens to train on, 1 of them") as caught:
        prepare_run(run, replace(config, screens=one), resume=False)
    assert "--screens-held-out 0 holds out none" in caught.value.hint
    assert not list(run.glob("*.part"))


def test_pictures_that_are_left_out_are_listed_by_their_kind(tmp_path):
    photos, screens = of_noise(tmp_path / "photos"), of_noise(tmp_path / "screens")
    (tmp_path / "screens" / "broken.png").write_bytes(b"no PNG")
    config = TrainConfig(photos=photos, screens=screens, steps=1)
    about_photos, about_screens = prepare_run(tmp_path / "run", config, resume=False)
    assert summary(about_photos) == "1 photos to train on, 1 to validate on, 0 left out"
    assert summary(about_screens) == "1 screens to train on, 1 to validate on, 1 left out"
    assert "broken.png" in about_screens.skipped[0]


def test_a_cache_never_stands_beside_the_index_of_another(tmp_path, monkeypatch):
    first, second = of_noise(tmp_path / "first"), of_noise(tmp_path / "second", 3)
    path = tmp_path / "photos.u8"
    build_cache(Path(first), path)

    def killed(source: Path, target: Path) -> None:
        if target == path:
            raise KeyboardInterrupt
        source.rename(target)

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        build_cache(Path(second), path)
    assert not path.exists()


def test_what_is_held_out_depends_on_the_photos_alone(run, tmp_path):
    def held_out(run: Path) -> list[str]:
        index = json.loads((run / "photos.json").read_text())
        return [entry["sha256"] for entry in index["pictures"] if entry.get("held_out")]

    moved = tmp_path / "moved"
    (tmp_path / "photos").rename(moved)
    (moved / "a.png").rename(moved / "z.png")
    build_cache(moved, tmp_path / "photos.u8", 0.1)
    assert held_out(tmp_path) == held_out(run)
    cache = PhotoCache(run / "photos.u8")
    assert (len(cache.training), len(cache.held_out)) == (2, 1)
    see_through = next(p for p in cache.training + cache.held_out if p.shape == (90, 120, 3))
    assert (see_through[:, 60:] == 255).all() and not (see_through[:, :60] == 255).all()


def test_evaluation_images_are_left_out_even_when_changed(tmp_path, photo, monkeypatch):
    from rdae.training import data

    assert len(evaluation_hashes()) == 24
    monkeypatch.setattr(
        data, "evaluation_hashes", lambda: {"the photo": difference_hash(photo.rgb)}
    )
    for name in ("a.png", "b.png"):
        Image.fromarray(photo.rgb[:256, 256:]).save(tmp_path / name)
    small = Image.fromarray(photo.rgb).resize((300, 200))
    small.save(tmp_path / "again.jpg", quality=60)
    report = build_cache(tmp_path, tmp_path / "photos.u8", 0.1)
    assert (report.training, report.held_out) == (1, 1)
    assert "again.jpg: shows the same as the photo" in report.skipped[0]
    assert not same_picture(photo.rgb, evaluation_hashes())


@pytest.mark.parametrize("downscale", [0, 0.5, 1])
def test_crops_have_their_size_whatever_that_of_the_photo(run, downscale):
    crops = PhotoCache(run / "photos.u8").crops(np.random.default_rng(0), 20, 128, downscale)
    assert crops.shape == (20, 128, 128, 3)
