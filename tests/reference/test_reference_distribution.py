"""MMD and the Frechet distance against scipy's matrix root, torchmetrics and the numbers that JEDi publishes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from worldsim.metrics.functional.distribution import (
    mmd,
    mmd2_biased,
    mmd2_unbiased,
    neighbours,
    polynomial_kernel,
    rbf_kernel,
)
from worldsim.metrics.functional.frechet import frechet, frechet_from_moments

Sets = tuple[np.ndarray, np.ndarray]

# The two small matrices with which JEDi's polynomial MMD (github.com/oooolga/JEDi, Apache-2.0) is tried out.
JEDI_A = np.arange(1.0, 10.0).reshape(3, 3)
JEDI_B = np.array([[7.0, 6.0, 5.0], [4.0, 3.0, 2.0], [1.0, 1.0, 8.0], [0.0, 2.0, 5.0]])


def sets(n: int, d: int, seed: int = 0) -> Sets:
    """Two correlated sets with different means and covariances."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)), rng.normal(size=(n, d)) * 1.5 + 0.3


def by_matrix_root(x: np.ndarray, y: np.ndarray) -> float:
    c, k = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    return float(shift + np.trace(c) + np.trace(k) - 2 * np.trace(sqrtm(c @ k)).real)


def biased(degree: int, gamma: float | None) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return polynomial_kernel(a, b, degree=degree, gamma=gamma, offset=0.0)

    return mmd2_biased(kernel(JEDI_A, JEDI_A), kernel(JEDI_A, JEDI_B), kernel(JEDI_B, JEDI_B))


def test_the_golden_numbers_of_jedi() -> None:
    """270.7 belongs to degree 2 and gamma 1/d; 2436.5 to gamma 1 (its source names other arguments beside it)."""
    assert biased(2, None) == pytest.approx(270.7222, abs=5e-5)
    assert biased(2, 1.0) == pytest.approx(2436.5, abs=1e-9)


@pytest.mark.parametrize(("n", "published"), [(100, 1.94), (500, 0.40), (2000, 0.10)])
def test_the_bias_of_the_v_statistic_and_its_absence_in_ours(n: int, published: float) -> None:
    """Two samples of one Gaussian, d = 64, JEDi's kernel, times 100: its number falls like 1/n, ours is 0."""
    biased, unbiased = [], []
    for seed in range(max(2, 2000 // n)):
        x, y = np.random.default_rng(seed).normal(size=(2, n, 64))
        kernels = [polynomial_kernel(a, b, degree=2, offset=0.0) for a, b in ((x, x), (x, y), (y, y))]
        biased.append(100 * mmd2_biased(*kernels))
        unbiased.append(100 * mmd2_unbiased(*kernels))
    assert np.mean(biased) == pytest.approx(published, rel=0.1)
    assert abs(np.mean(unbiased)) < 0.1 * published


@pytest.mark.parametrize(("n", "d"), [(300, 40), (90, 80), (80, 80)])
def test_frechet_is_that_of_the_matrix_root(n: int, d: int) -> None:
    x, y = sets(n, d)
    assert frechet(x, y) == pytest.approx(by_matrix_root(x, y), rel=1e-6)


def test_with_fewer_items_than_dimensions_too() -> None:
    x, y = sets(100, 200)  # covariances of rank 99: the matrix root survives it only roughly
    assert frechet(x, y) == pytest.approx(by_matrix_root(x, y), rel=1e-6)
    exact = frechet_from_moments(x.mean(axis=0), np.cov(x, rowvar=False), y.mean(axis=0), np.cov(y, rowvar=False))
    assert frechet(x, y) == pytest.approx(exact, rel=1e-10)


class Flat(torch.nn.Module):
    """A stand-in for the Inception network: the pixels themselves are the features."""

    num_features = 12

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.reshape(len(images), -1).double()


def pictures(n: int) -> tuple[torch.Tensor, torch.Tensor, Sets]:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 200, (n, 3, 2, 2), dtype=np.uint8)
    y = rng.integers(40, 256, (n, 3, 2, 2), dtype=np.uint8)
    return torch.from_numpy(x), torch.from_numpy(y), (x.reshape(n, -1).astype(float), y.reshape(n, -1).astype(float))


@pytest.mark.filterwarnings("ignore")
def test_frechet_is_torchmetrics_fid_on_stub_features() -> None:
    x, y, features = pictures(100)
    fid = FrechetInceptionDistance(feature=Flat(), normalize=False, input_img_size=(3, 2, 2)).set_dtype(torch.float64)
    fid.update(x, real=True)
    fid.update(y, real=False)
    assert frechet(*features) == pytest.approx(float(fid.compute()), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_the_polynomial_mmd_is_torchmetrics_kid_on_stub_features() -> None:
    x, y, features = pictures(64)
    kid = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=64)  # one subset: all items
    kid.update(x, real=True)
    kid.update(y, real=False)
    assert mmd(*features).value == pytest.approx(float(kid.compute()[0]), rel=1e-6)


def test_the_u_statistic_is_its_definition() -> None:
    x, y = sets(9, 4)
    z = np.concatenate([x, y])
    distances = [np.linalg.norm(z[i] - z[j]) for i in range(18) for j in range(i)]
    kernel = rbf_kernel(z, z, float(np.median(distances)))
    xx = np.mean([kernel[i, j] for i in range(9) for j in range(9) if i != j])
    yy = np.mean([kernel[i, j] for i in range(9, 18) for j in range(9, 18) if i != j])
    xy = np.mean([kernel[i, j] for i in range(9) for j in range(9, 18)])
    assert mmd(x, y, kernel="rbf").value == pytest.approx(xx + yy - 2 * xy, abs=1e-12)


def test_neighbours_are_their_definitions() -> None:
    x, y = sets(30, 3)
    k = 3

    def radius(z: np.ndarray, i: int) -> float:
        return float(sorted(np.linalg.norm(z[i] - z[j]) for j in range(len(z)) if j != i)[k - 1])

    near_x = np.array([[np.linalg.norm(x[i] - y[j]) <= radius(x, i) for j in range(30)] for i in range(30)])
    near_y = np.array([[np.linalg.norm(x[i] - y[j]) <= radius(y, j) for j in range(30)] for i in range(30)])
    scores = neighbours(x, y, k=k)
    assert scores.precision == near_x.any(axis=0).mean()
    assert scores.recall == near_y.any(axis=1).mean()
    assert scores.coverage == near_x.any(axis=1).mean()
