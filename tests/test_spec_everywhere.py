"""Every spec that `validate` accepts is built, exported, loaded and turned back, by both halves."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")

from hypothesis import HealthCheck, given, settings  # noqa: E402

from rdae.autoencoder.autoencoder import Autoencoder  # noqa: E402
from rdae.autoencoder.exact_decoder import make_exact  # noqa: E402
from rdae.autoencoder.from_integers import state_of_networks  # noqa: E402
from rdae.autoencoder.networks import Networks  # noqa: E402
from rdae.model.model import Model  # noqa: E402
from rdae.model.spec import NUM_ANCHORS, ModelSpec  # noqa: E402
from rdae.model.symbols import TileSymbols  # noqa: E402
from rdae.model.weights_file import Description, fingerprint  # noqa: E402
from rdae.scales import NUM_POINTS  # noqa: E402
from rdae.training.export import integer_tensors  # noqa: E402
from tests.spec_samples import model_specs  # noqa: E402
from tests.test_torch_decoders import compare_decoders  # noqa: E402

ROWS, COLUMNS, POINT = 8, 4, 100


@given(spec=model_specs())
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
def test_a_valid_spec_is_a_model_in_both_halves_and_back(spec: ModelSpec) -> None:
    assert ModelSpec.from_json(spec.to_json()) == spec
    torch.manual_seed(1)
    trained = Autoencoder(spec)
    for parameter in trained.parameters():  # away from the zeros of the initialisation
        parameter.data += 0.01 * torch.randn_like(parameter)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    tensors = integer_tensors(trained, pixels)
    model = Model(Description(9, "drawn", spec, {}), tensors)
    model.check()

    y = rng.integers(-9, 10, (ROWS, COLUMNS, spec.latent_channels)).astype(np.int32)
    z = rng.integers(-3, 4, (ROWS // 4, COLUMNS // 4, spec.hyper_channels)).astype(np.int32)
    exact = Autoencoder(spec)
    make_exact(exact, tensors)
    compare_decoders(model, exact, TileSymbols(z, y, np.zeros(y.shape, np.uint8)), POINT)

    anchors = np.arange(NUM_ANCHORS) * (NUM_POINTS - 1) / (NUM_ANCHORS - 1)
    back = state_of_networks(Networks(spec), tensors, anchors)
    for name, value in Networks.state_dict(trained).items():
        if name in back:
            room = 2e-3 * max(1.0, float(value.abs().max()))
            assert torch.allclose(back[name], value, atol=room), name


@given(spec=model_specs())
@settings(max_examples=10, deadline=None, derandomize=True)
def test_roles_do_not_change_what_a_file_decodes_to(spec: ModelSpec) -> None:
    bare = ModelSpec(**{**vars(spec), "roles": {}})
    tensors = {"a": np.arange(3)}
    assert fingerprint(spec, tensors) == fingerprint(bare, tensors)
