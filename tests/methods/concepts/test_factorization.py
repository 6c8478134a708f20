"""Coupled factorisation against scikit-learn, matcouply, literal loops, and in any chunks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import nnls  # type: ignore[import-untyped]
from sklearn.decomposition import NMF
from sklearn.decomposition._nmf import _initialize_nmf
from torch import Tensor

from methods.concepts import hals
from methods.concepts.blocks import Blocks
from methods.concepts.factorization import CoupledFactorization
from methods.concepts.hals import NO_PENALTIES, Penalties
from tests.methods.concepts.passes import begin, fit

WIDTHS = (7, 12, 5, 9, 4)


def planted(rows: int = 60, concepts: int = 4, noise: float = 0.0, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """Blocks of unequal scale made of sparse factors, and the image factor."""
    generator = torch.Generator().manual_seed(seed)
    drawn = partial(torch.rand, generator=generator, dtype=torch.float64)
    images = drawn(rows, concepts) * (drawn(rows, concepts) < 0.5)
    made = []
    for number, width in enumerate(WIDTHS):
        factor = drawn(concepts, width) * (drawn(concepts, width) < 0.6)
        block = images @ factor
        block = (
            block + noise * block.std() * torch.randn(block.shape, generator=generator, dtype=torch.float64)
        ).clamp(min=0)
        made.append(block * 10.0 ** (number - 2))
    return made, images


def described(matrices: Sequence[Tensor], weights: Sequence[float] | None = None) -> Blocks:
    squares = [float((x**2).sum()) for x in matrices]
    return Blocks(
        [x.shape[1] for x in matrices],
        len(matrices[0]),
        squares,
        [float(x.sum()) for x in matrices],
        [1 / max(square, 1e-30) for square in squares] if weights is None else weights,
    )


def in_chunks(matrices: Sequence[Tensor], size: int) -> Callable[[], Iterable[tuple[Tensor, list[Tensor]]]]:
    parts = torch.arange(len(matrices[0])).split(size)
    return lambda: ((rows, [x[rows] for x in matrices]) for rows in parts)


def begun_at(found: CoupledFactorization, images: Tensor, factors: Sequence[Tensor]) -> None:
    """Let a factorisation start at given factors ``√a_b W_b``."""
    found.image_factor, found.factors = images.T.clone(), [factor.clone() for factor in factors]


def stacked(matrices: Sequence[Tensor], blocks: Blocks) -> Tensor:
    return torch.cat([root * x for root, x in zip(blocks.roots, matrices, strict=True)], dim=1)


def direct_error(found: CoupledFactorization, matrices: Sequence[Tensor]) -> float:
    """The relative squared error of all blocks, from the residual itself."""
    whole = stacked(matrices, found.blocks)
    return float(((whole - found.image_factor.T @ torch.cat(found.factors, dim=1)) ** 2).sum() / (whole**2).sum())


@pytest.mark.parametrize("count", [1, 5])
def test_iterates_are_those_of_scikit_learn_on_the_stack(count: int) -> None:
    matrices = planted(noise=0.3)[0][:count]
    blocks = described(matrices, None if count > 1 else [1.0])
    whole = stacked(matrices, blocks).numpy()
    generator = np.random.default_rng(0)
    images, rows = generator.random((60, 4)), generator.random((4, whole.shape[1]))
    found = begin(blocks, 4, start="random")
    begun_at(found, torch.from_numpy(images), torch.from_numpy(rows).split(list(blocks.widths), dim=1))
    for passes in range(1, 8):
        fit(found, in_chunks(matrices, 13), passes, tolerance=-1.0)
        oracle = NMF(4, init="custom", solver="cd", tol=0.0, max_iter=passes)
        ours = oracle.fit_transform(whole, W=images.copy(), H=rows.copy())
        assert np.abs(found.image_factor.T.numpy() - ours).max() < 1e-10
        assert np.abs(torch.cat(found.factors, dim=1).numpy() - oracle.components_).max() < 1e-10
        assert found.history[-1][0] == pytest.approx(oracle.reconstruction_err_**2 / 2, rel=1e-9)


def test_the_start_is_that_of_scikit_learn() -> None:
    matrices, _ = planted(noise=0.3)
    blocks = described(matrices)
    found = begin(blocks, 4)
    fit(found, in_chunks(matrices, 17), 0)
    while not found.factors:
        found.begin_pass()
        for rows, chunk in in_chunks(matrices, 17)():
            found.add(rows, chunk)
        found.end_pass()
    images, rows = _initialize_nmf(stacked(matrices, blocks).numpy(), 4, init="nndsvda", random_state=0)
    assert np.abs(found.image_factor.T.numpy() - images).max() < 1e-6
    assert np.abs(torch.cat(found.factors, dim=1).numpy() - rows).max() < 1e-6


@pytest.mark.parametrize(
    "penalties",
    [
        NO_PENALTIES,
        replace(NO_PENALTIES, l1=0.01),
        replace(NO_PENALTIES, l2=0.05),
        replace(NO_PENALTIES, orthogonality=0.02),
        replace(NO_PENALTIES, group=0.02),
        Penalties(0.005, 0.01, 0.01, 0.01),
    ],
)
def test_no_pass_raises_the_objective_and_it_is_the_literal_one(penalties: Penalties) -> None:
    matrices, _ = planted(noise=0.5)
    groups = torch.arange(60) // 12
    found = begin(described(matrices), 4, penalties=penalties, groups=groups)
    fit(found, in_chunks(matrices, 24), 40, tolerance=-1.0)
    objectives = [entry[0] for entry in found.history]
    assert all(after <= before + 1e-12 * objectives[0] for before, after in pairwise(objectives))
    images, factors = found.image_factor.T, found.block_factors()
    literal = sum(
        weight * float(((x - images @ w) ** 2).sum()) / 2
        for weight, x, w in zip(found.blocks.weights, matrices, factors, strict=True)
    )
    literal += penalties.l1 * float(images.sum()) + penalties.l2 * float((images**2).sum()) / 2
    for first in range(4):
        literal += sum(
            penalties.orthogonality * float(images[:, first] @ images[:, second]) for second in range(first + 1, 4)
        )
        literal += sum(penalties.group * float(images[groups == g, first].norm()) for g in range(5))
    assert found.history[-1][0] == pytest.approx(literal, rel=1e-10)
    if penalties.any:
        assert torch.cat(found.factors, dim=1).norm(dim=1).numpy() == pytest.approx(np.ones(4), abs=1e-12)


def test_a_sweep_reaches_the_minimum_of_each_column() -> None:
    matrices, _ = planted(noise=0.5)
    penalties = Penalties(0.005, 0.01, 0.01, 0.02)
    groups = torch.arange(60) // 12
    found = begin(described(matrices), 3, penalties=penalties, groups=groups)
    fit(found, in_chunks(matrices, 60), 1000, tolerance=-1.0)
    best, generator = found.history[-1][0], torch.Generator().manual_seed(0)
    for _ in range(30):  # a stationary point: no small feasible change of an image's share lowers the objective
        moved = begin(found.blocks, 3, penalties=penalties, groups=groups)
        change = 1e-4 * torch.randn(found.image_factor.shape, generator=generator, dtype=torch.float64)
        begun_at(moved, (found.image_factor + change).clamp(min=0).T, found.factors)
        images = moved.image_factor
        errors = ((stacked(matrices, found.blocks) - images.T @ torch.cat(found.factors, dim=1)) ** 2).sum() / 2
        products = images @ images.T
        value = errors + penalties.l1 * images.sum() + penalties.l2 * products.trace() / 2
        value += penalties.orthogonality * (products.sum() - products.trace()) / 2
        value += penalties.group * images.reshape(3, 5, 12).norm(dim=2).sum()
        assert float(value) >= best - 1e-9


def test_planted_factors_are_found_without_noise() -> None:
    matrices, _ = planted(concepts=6, rows=100)
    found = begin(described(matrices), 6)
    fit(found, in_chunks(matrices, 100), 2000, tolerance=-1.0)
    assert direct_error(found, matrices) < 1e-18


def test_planted_factors_are_found_in_noise() -> None:
    matrices, images = planted(concepts=4, rows=400, noise=0.3)
    found = begin(described(matrices), 4)
    fit(found, in_chunks(matrices, 100), 2000, tolerance=1e-9)
    cosines = (found.image_factor / found.image_factor.norm(dim=1, keepdim=True)) @ (images / images.norm(dim=0))
    assert float(cosines.max(dim=0).values.min()) > 0.99
    assert len(set(cosines.argmax(dim=0).tolist())) == 4


@pytest.mark.parametrize("start", ["nndsvda", "random"])
@pytest.mark.parametrize("solver", ["hals", "published"])
def test_chunks_and_their_order_change_nothing(start: str, solver: str) -> None:
    matrices, _ = planted(noise=0.3)
    made = []
    for size, backwards in ((60, False), (7, False), (11, True)):
        parts = list(in_chunks(matrices, size)())
        ordered = parts[::-1] if backwards else parts
        found = begin(described(matrices), 4, start=start, solver=solver)
        fit(found, partial(iter, ordered), 30, tolerance=-1.0)
        made.append(found)
    for other in made[1:]:
        assert (made[0].image_factor - other.image_factor).abs().max() < 1e-10
        assert other.history[-1][0] == pytest.approx(made[0].history[-1][0], rel=1e-10)


def test_the_published_updates_are_the_literal_ones() -> None:
    matrices, _ = planted(noise=0.3)
    blocks = described(matrices, [1.0] * 5)
    found = begin(blocks, 3, solver="published", start="random", penalties=replace(NO_PENALTIES, l1=1.0, l2=1.0))
    images = found.image_factor.T.numpy().copy()
    factors = [part.numpy().copy() for part in found.factors]
    fit(found, in_chunks(matrices, 60), 3, tolerance=-1.0)
    arrays = [x.numpy() for x in matrices]
    for _ in range(3):
        above = sum(x @ w.T for x, w in zip(arrays, factors, strict=True))
        below = sum(images @ w @ w.T for w in factors) + 1.0 + images
        images = images * above / below
        factors = [w * (images.T @ x) / (images.T @ images @ w) for x, w in zip(arrays, factors, strict=True)]
        factors = [w / np.linalg.norm(w, axis=1, keepdims=True) for w in factors]
    assert np.abs(found.image_factor.T.numpy() - images).max() < 1e-10
    for ours, literal in zip(found.factors, factors, strict=True):
        assert np.abs(ours.numpy() - literal).max() < 1e-10


def test_new_images_are_projected_as_by_non_negative_least_squares() -> None:
    matrices, _ = planted(noise=0.3)
    found = begin(described(matrices), 4)
    fit(found, in_chunks(matrices, 60), 100)
    others, _ = planted(noise=0.3, seed=1)
    whole, rows = stacked(others, found.blocks).numpy(), torch.cat(found.factors, dim=1).numpy()
    literal = np.stack([nnls(rows.T, image)[0] for image in whole])
    products, gram = torch.from_numpy(rows @ whole.T), torch.from_numpy(rows @ rows.T)
    assert np.abs(hals.project(products, gram, NO_PENALTIES).T.numpy() - literal).max() < 1e-6


def test_a_factorisation_goes_on_where_it_was() -> None:
    matrices, _ = planted(noise=0.3)
    whole = begin(described(matrices), 4)
    fit(whole, in_chunks(matrices, 20), 20, tolerance=-1.0)
    begun, resumed = begin(described(matrices), 4), begin(described(matrices), 4)
    fit(begun, in_chunks(matrices, 20), 8, tolerance=-1.0)
    resumed.load_state_dict(begun.state_dict(begun.image_factor))
    fit(resumed, in_chunks(matrices, 20), 20, tolerance=-1.0)
    assert torch.equal(whole.image_factor, resumed.image_factor)
    assert whole.history == resumed.history


def test_half_precision_at_rest_is_near() -> None:
    matrices, _ = planted(noise=0.3)
    matrices = matrices[1:4]
    halves = [x.half() for x in matrices]
    exact = begin(described(matrices), 4)
    rounded = begin(described([x.double() for x in halves]), 4, dtype=torch.float32)
    fit(exact, in_chunks(matrices, 20), 50, tolerance=-1.0)
    fit(rounded, in_chunks(halves, 20), 50, tolerance=-1.0)
    assert rounded.history[-1][0] == pytest.approx(exact.history[-1][0], rel=0.01)


def test_dead_concepts_and_constant_blocks_do_no_harm() -> None:
    matrices, _ = planted(concepts=2)
    matrices.append(torch.ones(60, 3, dtype=torch.float64))
    found = begin(described(matrices), 6, start="random")
    found.image_factor[5] = 0
    for factor in found.factors:
        factor[5] = 0
    fit(found, in_chunks(matrices, 60), 200)
    assert torch.isfinite(found.image_factor).all()
    assert float(found.image_factor[5].max()) == 0
    assert found.history[-1][0] < 0.01 * found.history[0][0]


def test_what_cannot_be_factorised_is_refused() -> None:
    matrices, _ = planted()
    with pytest.raises(ValueError, match="use 1 to 37"):
        begin(described(matrices), 38)
    with pytest.raises(ValueError, match="all 0"):
        described([*matrices, torch.zeros(60, 3)])
    found = begin(described(matrices), 3, start="random")
    rows = torch.arange(60)
    found.begin_pass()
    found.add(rows[:50], [x[:50] for x in matrices])
    with pytest.raises(ValueError, match="twice"):
        found.add(rows[40:], [x[40:] for x in matrices])
    found.begin_pass()
    found.add(rows[:50], [x[:50] for x in matrices])
    with pytest.raises(ValueError, match="50 images where each of 60"):
        found.end_pass()
    grouped = begin(
        described(matrices), 3, start="random", penalties=replace(NO_PENALTIES, group=0.1), groups=torch.arange(60) // 7
    )
    grouped.begin_pass()
    with pytest.raises(ValueError, match="one chunk"):
        grouped.add(rows[:10], [x[:10] for x in matrices])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_matcouply_reaches_the_same_error() -> None:
    from matcouply.decomposition import cmf_aoadmm

    matrices, _ = planted(noise=0.3, rows=40)
    found = begin(described(matrices), 4)
    fit(found, in_chunks(matrices, 40), 3000, tolerance=1e-9)
    weighted = [(root * x).numpy().T for root, x in zip(found.blocks.roots, matrices, strict=True)]
    errors = []
    for seed in range(3):  # it starts at random
        (_, (_, rows, shared)), trace = cmf_aoadmm(
            weighted, rank=4, non_negative=True, n_iter_max=2000, random_state=seed, return_errors=True,
            tol=1e-12, absolute_tol=1e-12,
        )  # fmt: skip
        errors.append(trace.rec_errors[-1] ** 2)
        assert len(rows) == 5
        assert shared.shape == (40, 4)
    assert direct_error(found, matrices) == pytest.approx(min(errors), abs=1e-4)
