"""LAB against scikit-image, histograms against NumPy, distances against SciPy, two ranks against one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance  # type: ignore[import-untyped]
from skimage.color import rgb2lab
from torch import Tensor

from metrics.lab import LabHistogram, histogram_distance, lab_edges, lab_histogram, rgb_to_lab
from tests.metrics.conftest import on_ranks


def drawn(images: int = 5, seed: int = 0) -> Tensor:
    return torch.rand(images, 3, 9, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def theirs(images: Tensor) -> np.ndarray:
    lab: np.ndarray = rgb2lab(images.permute(0, 2, 3, 1).numpy())
    return lab


def test_conversion_equals_scikit_image() -> None:
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.003, 0.5, 1.0], dtype=torch.float64)] * 3)
    for images in (drawn(), corners.T.reshape(1, 3, 8, 8), drawn() * 0.01):
        assert np.abs(rgb_to_lab(images).permute(0, 2, 3, 1).numpy() - theirs(images)).max() < 1e-10
        assert np.abs(rgb_to_lab(images.float()).permute(0, 2, 3, 1).numpy() - theirs(images)).max() < 1e-4


def test_greys_have_no_colour_and_white_is_100() -> None:
    greys = torch.linspace(0, 1, 11).expand(1, 3, 1, 11)
    lightness, *colour = rgb_to_lab(greys)[0]
    assert lightness[0, 0] == pytest.approx(0, abs=1e-4)
    assert lightness[0, -1] == pytest.approx(100, abs=1e-4)
    assert all(channel.abs().max() < 0.02 for channel in colour)


def test_histograms_equal_those_of_numpy() -> None:
    images, edges = drawn(), lab_edges(50).numpy()
    lab = theirs(images)
    expected = [np.histogram(lab[..., channel], edges[channel])[0] for channel in range(3)]
    assert np.array_equal(lab_histogram(images, 50).numpy(), expected)


def test_every_pixel_is_counted_once_per_channel_at_the_ends_too() -> None:
    images = torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    assert lab_histogram(images, 10).sum(dim=1).tolist() == [32, 32, 32]


def test_distance_equals_that_of_scipy() -> None:
    edges = lab_edges(64)
    first, second = lab_histogram(drawn(), 64), lab_histogram(drawn(seed=1) ** 2, 64)
    centres = ((edges[:, 1:] + edges[:, :-1]) / 2).numpy()
    for channel, distance in enumerate(histogram_distance(first, second, edges)):
        expected = wasserstein_distance(
            centres[channel], centres[channel], first[channel].numpy(), second[channel].numpy()
        )
        assert float(distance) == pytest.approx(expected, rel=1e-12)
    assert histogram_distance(first, 3 * first, edges).tolist() == pytest.approx([0, 0, 0], abs=1e-12)


def test_a_shift_of_two_bins_is_two_widths() -> None:
    counts, edges = torch.tensor([4, 2, 0, 0]), torch.linspace(0, 20, 5)
    assert float(histogram_distance(counts, counts.roll(2), edges)) == pytest.approx(10)


def test_an_empty_histogram_and_bad_images_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        histogram_distance(torch.zeros(3), torch.ones(3), torch.arange(4))
    with pytest.raises(ValueError, match=r"from 0 to 1\.5"):
        rgb_to_lab(torch.tensor([0.0, 1.5, 1.0]).reshape(1, 3, 1, 1))
    with pytest.raises(ValueError, match="nan"):
        rgb_to_lab(torch.full((1, 3, 1, 1), torch.nan))
    nothing = LabHistogram()
    nothing.update(torch.zeros(0, 3, 4, 4))
    with pytest.raises(RuntimeError, match="no images"):
        nothing.compute()


@pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning")
def test_two_ranks_count_what_one_does(tmp_path: Path) -> None:
    images = drawn()

    def work(rank: int) -> Tensor:
        metric = LabHistogram(32).to(torch.bfloat16)  # as Lightning's bf16-true does
        for image in images[[0, 1, 2] if rank == 0 else [3, 4]]:
            metric.update(image[None])
        return metric.compute()

    for counts in on_ranks(work, 2, tmp_path):
        assert isinstance(counts, Tensor)
        assert torch.equal(counts, lab_histogram(images, 32))
