"""Errors: one tree, which pickles; hints that name what works."""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import json
import multiprocessing
import pickle
import pkgutil
import warnings
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import rdae
from rdae import errors, extras
from rdae.errors import RateTargetError, RdaeError, for_command_line, option


def tree(kind: type[RdaeError] = RdaeError) -> Iterator[type[RdaeError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def every_kind() -> set[type[RdaeError]]:
    for room in ("rdae.cli", "rdae.evaluation"):
        for module in pkgutil.iter_modules(importlib.import_module(room).__path__, f"{room}."):
            # an extra may not be installed, and what it brings may warn
            with warnings.catch_warnings(), contextlib.suppress(ImportError):
                warnings.simplefilter("ignore")
                importlib.import_module(module.name)
    return {kind for kind in tree() if kind.__module__.startswith("rdae.")}


def test_every_error_of_the_tree_pickles_and_copies():
    kinds = every_kind()
    assert {vars(errors)[name] for name in errors.__all__} - {errors.DamageWarning} <= kinds
    for kind in kinds:
        needed = {
            name: 17
            for name, parameter in inspect.signature(kind).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        }
        error = kind("what is wrong", hint="the way out", **needed)
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(twin) is kind and str(twin) == "what is wrong"
            assert vars(twin) == vars(error) and twin.args == error.args


def test_the_name_of_the_file_that_was_in_the_way_survives():
    error = errors.OutputExistsError("exists")
    error.filename = "a.rd"
    assert pickle.loads(pickle.dumps(error)).filename == "a.rd"


def test_a_target_that_cannot_be_met_comes_out_of_another_process():
    pictures = [np.full((16, 16, 3), level, np.uint8) for level in (0, 200)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        waiting = pool.map_async(partial(rdae.compress, target_size=10), pictures)
        with pytest.raises(RateTargetError) as caught:
            waiting.get(timeout=120)
        assert caught.value.reachable > 10
        assert "--target-size" in caught.value.hint
        files = pool.map_async(partial(rdae.compress, target_size=2000), pictures).get(timeout=120)
    assert all(len(file) <= 2000 for file in files)


def test_a_hint_for_the_command_line_says_nothing_of_python():
    assert option("max_pixels", 9) == "--max-pixels 9 (max_pixels=9 in Python)"
    assert for_command_line(f"try {option('to_8bit')} or less") == "try --to-8bit or less"
    assert for_command_line("--strip icc (in Python, out of its info)") == "--strip icc"
    assert for_command_line("a model (id 3) is meant") == "a model (id 3) is meant"


class TestInstallHint:
    @pytest.fixture(autouse=True)
    def _away_from_a_checkout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extras, "_HERE", tmp_path / "site-packages" / "rdae")

    def remember(self, monkeypatch: pytest.MonkeyPatch, origin: dict[str, object] | None) -> None:
        class Distribution:
            def read_text(self, name: str) -> str | None:
                assert name == "direct_url.json"
                return None if origin is None else json.dumps(origin)

        monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())

    def test_from_an_index_by_its_name(self, monkeypatch):
        self.remember(monkeypatch, None)
        assert extras.install_hint("train") == "pip install 'rdae[train]'"

    def test_from_a_folder_or_wheel_by_its_address(self, monkeypatch, tmp_path):
        self.remember(monkeypatch, {"url": tmp_path.as_uri(), "dir_info": {}})
        assert extras.install_hint("eval") == f"pip install 'rdae[eval] @ {tmp_path.as_uri()}'"

    def test_a_folder_that_is_gone_is_not_named(self, monkeypatch, tmp_path):
        self.remember(monkeypatch, {"url": (tmp_path / "gone").as_uri()})
        assert extras.install_hint("eval") == "pip install 'rdae[eval]'"

    def test_from_a_repository_by_its_address(self, monkeypatch):
        self.remember(monkeypatch, {"url": "https://x.org/r.git", "vcs_info": {"vcs": "git"}})
        assert extras.install_hint("eval") == "pip install 'rdae[eval] @ git+https://x.org/r.git'"

    def test_in_a_checkout_by_its_folder(self, monkeypatch, tmp_path):
        (tmp_path / "pyproject.toml").touch()
        monkeypatch.setattr(extras, "_HERE", tmp_path / "rdae")
        assert extras.install_hint("train") == f"pip install -e '{tmp_path}[train]'"

    def test_without_any_record_by_its_name(self, monkeypatch):
        def missing(name: str) -> None:
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "distribution", missing)
        assert extras.install_hint("train") == "pip install 'rdae[train]'"
