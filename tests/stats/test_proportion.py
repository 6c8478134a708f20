"""The interval of a share is SciPy's, for any shape."""

import numpy as np
import pytest
from scipy.stats import binomtest  # type: ignore[import-untyped]

from stats.proportion import wilson_interval


@pytest.mark.parametrize(("count", "images"), [(0, 9), (1, 3), (50, 100), (10, 10), (400, 588)])
def test_the_interval_is_scipys(count: int, images: int) -> None:
    expected = binomtest(count, images).proportion_ci(method="wilson")
    lower, upper = wilson_interval(count / images, images)
    assert (float(lower), float(upper)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_intervals_hold_their_share() -> None:
    images = np.arange(1, 60)[:, None]
    share = np.arange(60)[None] / images
    lower, upper = wilson_interval(np.minimum(share, 1), images)
    assert ((lower >= 0) & (lower <= np.minimum(share, 1)) & (np.minimum(share, 1) <= upper) & (upper <= 1)).all()


def test_no_images_tell_nothing() -> None:
    lower, upper = wilson_interval(np.array([np.nan, 0.5]), np.array([0, 4]))
    assert (lower[0], upper[0]) == (0, 1)
    assert 0 < lower[1] < 0.5 < upper[1] < 1
