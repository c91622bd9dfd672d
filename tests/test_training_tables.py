"""Tables of frequencies that are fitted to symbols, or made from densities."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")
pytest.importorskip("pytorch_optimizer")

from rdae.training.tables import (  # noqa: E402
    fitted_tables,
    frequencies,
    gaussian_tables,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and its optimizers, on deprecations


def test_frequencies_are_positive_and_sum_to_the_total():
    pmf = np.array([0.0, 1e-12, 0.3, 0.6999])
    freqs = frequencies(pmf)
    assert freqs.sum() == 1 << 24 and freqs.min() >= 1 and len(freqs) == 5


def test_gaussian_tables_have_the_mass_of_the_density():
    low, freqs = gaussian_tables()[40]
    sigma = 0.11 * (256 / 0.11) ** (40 / 127)
    values = low + np.arange(len(freqs) - 1)
    mean = (values * freqs[:-1]).sum() / (1 << 24)
    variance = (values**2 * freqs[:-1]).sum() / (1 << 24)
    assert mean == pytest.approx(0, abs=1e-4)
    assert variance == pytest.approx(sigma**2 + 1 / 12, rel=1e-3)


def test_fitted_tables_code_heavy_tails_in_fewer_bits():
    from rdae.bitstream.tables import TableFamily
    from rdae.training.tables import REACH

    rng = np.random.default_rng(0)
    counts = np.zeros((128, 2 * REACH + 1), np.int64)
    symbols = np.rint(rng.laplace(0, 1.5, 20000)).astype(np.int32)
    np.add.at(counts[45], symbols + REACH, 1)

    def bits(tables) -> float:
        family = TableFamily([f for _, f in tables], np.array([low for low, _ in tables]))
        return family.bits(symbols, np.full(len(symbols), 45))

    assert bits(fitted_tables(counts)) < 0.99 * bits(gaussian_tables())
