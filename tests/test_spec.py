"""Network specs: canonical text, validation, complexity."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from rdae.model.presets import block, light_block, preset
from rdae.model.spec import ModelSpec
from rdae.network_spec import halo, macs_per_cell, output_channels

README = Path(__file__).parent.parent / "README.md"


def test_a_spec_survives_its_json():
    spec = preset()
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_the_default_model_stays_within_its_complexity_budget():
    spec = preset()
    assert spec.decoder_macs_per_pixel() <= 15_000
    assert spec.encoder_macs_per_pixel() <= 15_000


@pytest.mark.skipif(not README.is_file(), reason="the tests stand apart from the sources")
def test_the_readme_says_what_the_default_model_takes_to_decode(model):
    assert f"{model.spec.decoder_macs_per_pixel() / 1000:.1f} kMAC per pixel to decode" in (
        README.read_text()
    )


def test_macs_of_a_patch_embedding_count_per_coarse_cell():
    assert macs_per_cell([["unshuffle", 2], ["linear", 12, 5]]) == 60
    assert macs_per_cell([["linear", 5, 12], ["shuffle", 2], ["depthwise", 3, 3]]) == 60 + 4 * 27


def test_halo_counts_radii_at_each_resolution():
    assert halo(block(4) * 2) == 2
    assert halo([["linear", 4, 64], ["shuffle", 4], *light_block(4) * 2]) == 0.5
    assert halo([["unshuffle", 16], ["depthwise", 768, 5]]) == 32


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([["linear", 3, 4]], "wants 3 channels, gets 8"),
        ([["linear", 8, 6], ["shuffle", 4]], "cannot be shuffled"),
        ([["sum", [["linear", 8, 2]], [["linear", 8, 3]]]], "different channels"),
        ([["convolution", 8, 8]], "unknown layer"),
        ([["shuffle", 0]], "unknown layer"),
        ([["linear", 8.0, 8]], "unknown layer"),
        ([["linear", 8, 8, 31]], "unknown layer"),
        ([["linear", 8, 0]], "too many or too few"),
        ([["residual", [["unshuffle", 2], ["linear", 32, 8]]]], "cannot change the resolution"),
        ([["sum", [["linear", 8, 2], ["unshuffle", 2]], [["linear", 8, 8]]]], "resolutions"),
    ],
)
def test_layers_that_do_not_fit_are_named(layers, message):
    with pytest.raises(ValueError, match=message):
        output_channels(layers, 8, "net")


def test_a_model_whose_synthesis_gives_no_pixels_is_refused():
    content = json.loads(preset().to_json())
    content["synthesis"] = [["linear", content["latent_channels"], 3]]
    with pytest.raises(ValueError, match="synthesis must change the resolution"):
        ModelSpec.from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"chorus": ["synthesis.1"]}, "the role chorus"),
        ({"pixels": ["synthesis.99"]}, "not that of linear layers"),
        ({"pixels": ["synthesis.1.0"]}, "not that of linear layers"),  # a depthwise one
        ({"analysis_skip": ["synthesis.0.1.0"]}, "as analysis_skip it must be"),
        ({"pixels": ["first.0"]}, "as pixels it must be"),
    ],
)
def test_roles_of_layers_that_cannot_have_them_are_refused(roles, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(preset(), roles=roles).validate()


@pytest.mark.parametrize("end", [["gain", 3], ["linear", 3, 3, 2], ["residual", []]])
def test_a_synthesis_that_ends_in_anything_but_a_linear_layer_is_refused(end):
    content = json.loads(preset().to_json())
    content["synthesis"].append(end)
    with pytest.raises(ValueError, match="synthesis must end in a linear layer"):
        ModelSpec.from_json(json.dumps(content))


def test_text_that_is_no_spec_is_refused():
    deep = preset().to_json().replace('"synthesis":[', '"synthesis":' + 3000 * "[")
    for text in ("{}", "[]", "null", '{"analysis": 3}', "{", deep, deep + 2999 * "]"):
        with pytest.raises(ValueError):
            ModelSpec.from_json(text)
