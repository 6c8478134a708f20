"""Normalised mutual information, against scikit-learn, scikit-image and the definition written out."""

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import normalized_mutual_information as skimage_nmi
from sklearn.metrics import normalized_mutual_info_score as sklearn_nmi
from torch import Tensor

import metrics.nmi
from metrics.nmi import (
    Channels,
    Definition,
    NormalizedMutualInformation,
    Quantisation,
    joint_histogram,
    mutual_information_ratio,
    normalized_mutual_information,
    quantise,
)
from tests.metrics.conftest import on_ranks

DEFINITIONS: tuple[Definition, ...] = get_args(Definition)
QUANTISATIONS: tuple[Quantisation, ...] = get_args(Quantisation)


def draw(count: int, side: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pairs of 8-bit images that share something, each with its full range of values."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (count, 3, side, side), generator=generator)
    y = (x // 2 + torch.randint(0, 128, x.shape, generator=generator)) // 4 * 4
    for images in (x, y):
        images[:, 0, 0, 0], images[:, 0, 0, 1] = 0, 255
    return x / 255, y / 255


def as_bytes(images: Tensor) -> np.ndarray:
    return np.round(images.numpy() * 255).astype(np.uint8)


def entropy(labels: np.ndarray) -> float:
    """Entropy of the rows of ``(values, k)``, in nats."""
    _, counts = np.unique(labels, axis=0, return_counts=True)
    return -sum(count / len(labels) * math.log(count / len(labels)) for count in counts)


# Bins


@pytest.mark.parametrize("bins", [2, 7, 100, 255, 256])
def test_bins_of_bytes_follow_the_integers(bins: int) -> None:
    levels = torch.arange(256)
    expected = [level * bins // 256 for level in range(256)]
    assert quantise(levels / 255, bins, "uint8").tolist() == expected
    assert quantise(levels.double() / 255, bins, "uint8").tolist() == expected


def test_bins_of_floats_have_equal_width() -> None:
    values = torch.tensor([0.0, 0.249, 0.25, 0.5, 0.749, 0.75, 0.999, 1.0])
    assert quantise(values, 4, "float").tolist() == [0, 0, 1, 2, 2, 3, 3, 3]


def test_every_bin_can_be_reached() -> None:
    values = torch.linspace(0, 1, 5001)
    for bins in (2, 3, 50, 256):
        for quantisation in QUANTISATIONS:
            assert quantise(values, bins, quantisation).unique().tolist() == list(range(bins))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("quantisation", QUANTISATIONS)
def test_half_precision_is_binned_in_float32(quantisation: Quantisation, dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)).to(dtype)
    numbers = quantise(images, 100, quantisation)
    assert torch.equal(numbers, quantise(images.float(), 100, quantisation))
    in_half = (images * 255).round().long() * 100 // 256 if quantisation == "uint8" else (images * 100).long()
    assert not torch.equal(numbers, in_half)


# Counts


@pytest.mark.parametrize("bins", [4, 7])
@pytest.mark.parametrize("quantisation", QUANTISATIONS)
def test_histogram_equals_literal_counting(quantisation: Quantisation, bins: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(3, 2, 5, 4, generator=generator), torch.rand(3, 2, 5, 4, generator=generator)
    counts, by_channel = np.zeros((3, bins, bins), int), np.zeros((3, 2, bins, bins), int)
    for image in range(3):
        for channel in range(2):
            for pair in torch.stack([x[image, channel].flatten(), y[image, channel].flatten()], dim=1).tolist():
                i, j = (
                    round(value * 255) * bins // 256 if quantisation == "uint8" else min(int(value * bins), bins - 1)
                    for value in pair
                )
                counts[image, i, j] += 1
                by_channel[image, channel, i, j] += 1
    result = joint_histogram(x, y, bins, quantisation)
    assert result.dtype == torch.int64
    assert np.array_equal(result.numpy(), counts)
    assert np.array_equal(joint_histogram(x, y, bins, quantisation, "separate").numpy(), by_channel)


def test_grey_histogram_is_that_of_pil() -> None:
    x, y = draw(4, side=32)
    grey_x, grey_y = (
        torch.stack([torch.tensor(np.asarray(Image.fromarray(image).convert("L"))) for image in stack])
        for stack in (as_bytes(x).transpose(0, 2, 3, 1), as_bytes(y).transpose(0, 2, 3, 1))
    )
    expected = joint_histogram(grey_x / 255, grey_y / 255, bins=256)
    assert torch.equal(joint_histogram(x, y, channels="grey", bins=256), expected)


def test_grey_of_grey_is_itself() -> None:
    images = (torch.arange(256) / 255).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(joint_histogram(images, images, channels="grey", bins=256)[0], torch.eye(256, dtype=torch.long))


@pytest.mark.parametrize("layout", ["channels last", "half the columns"])
def test_memory_layout_does_not_matter(layout: str) -> None:
    x, y = draw(2)
    if layout == "channels last":
        twin = x.contiguous(memory_format=torch.channels_last)
    else:
        twin, x, y = x[..., ::2], x[..., ::2].contiguous(), y[..., ::2]
    assert torch.equal(joint_histogram(twin, y, bins=256), joint_histogram(x, y, bins=256))


# Ratios


@pytest.mark.parametrize("definition", ["geometric", "arithmetic", "min", "max"])
@pytest.mark.parametrize("bins", [256, 64, 7])
def test_ratios_equal_scikit_learn(definition: Definition, bins: int) -> None:
    x, y = draw(4)
    values = normalized_mutual_information(x, y, bins=bins, definition=definition)
    labels = [(as_bytes(images).astype(int) * bins // 256).reshape(4, -1) for images in (x, y)]
    expected = [sklearn_nmi(a, b, average_method=definition) for a, b in zip(*labels, strict=True)]
    assert values.dtype == torch.float64
    assert values.numpy() == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize("bins", [256, 7])
def test_joint_ratio_equals_its_definition(bins: int) -> None:
    x, y = draw(3)
    a, b = ((as_bytes(images).astype(int) * bins // 256).reshape(3, -1, 1) for images in (x, y))
    expected = []
    for left, right in zip(a, b, strict=True):
        both = entropy(np.hstack([left, right]))
        expected.append((entropy(left) + entropy(right) - both) / both)
    values = normalized_mutual_information(x, y, bins=bins, definition="joint")
    assert values.numpy() == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize("bins", [256, 64])
def test_studholme_equals_scikit_image(bins: int) -> None:
    x, y = draw(3)
    a, b = (np.floor(as_bytes(images).astype(float) * bins / 256) for images in (x, y))
    expected = [skimage_nmi(left, right, bins=bins) for left, right in zip(a, b, strict=True)]
    values = normalized_mutual_information(x, y, bins=bins, definition="studholme")
    assert values.numpy() == pytest.approx(np.array(expected), abs=1e-9)


def test_arithmetic_follows_from_studholme() -> None:
    x, y = draw(4)
    x[1], x[2], y[2] = 0.5, 0.5, 0.25
    counts = joint_histogram(x, y, bins=256)
    arithmetic, studholme = (mutual_information_ratio(counts, name) for name in ("arithmetic", "studholme"))
    assert torch.allclose(arithmetic, 2 - 2 / studholme, rtol=0, atol=1e-12)


def test_ratios_keep_their_order() -> None:
    counts = joint_histogram(*draw(4), bins=256)
    names: tuple[Definition, ...] = ("joint", "max", "arithmetic", "geometric", "min")
    values = torch.stack([mutual_information_ratio(counts, name) for name in names])
    assert (values.diff(dim=0) > 0).all()


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_order_of_arguments_does_not_matter(definition: Definition) -> None:
    x, y = draw(3)
    there, back = (normalized_mutual_information(*pair, definition=definition, bins=256) for pair in ((x, y), (y, x)))
    assert torch.allclose(there, back, rtol=0, atol=1e-12)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_inverting_an_image_changes_nothing(definition: Definition) -> None:
    x, y = draw(3)
    plain, inverted = (normalized_mutual_information(x, other, definition=definition, bins=256) for other in (y, 1 - y))
    assert torch.allclose(plain, inverted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_moving_the_same_pixels_changes_nothing(definition: Definition) -> None:
    x, y = draw(3)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    plain = normalized_mutual_information(x, y, definition=definition, bins=256)
    moved = normalized_mutual_information(x[..., order], y[..., order], definition=definition, bins=256)
    assert torch.equal(plain, moved)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_an_image_agrees_with_itself(definition: Definition) -> None:
    x, _ = draw(3)
    value = normalized_mutual_information(x, x, definition=definition, bins=256)
    assert value.tolist() == pytest.approx([2 if definition == "studholme" else 1] * 3, abs=1e-12)


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("channels", get_args(Channels))
def test_constant_images_agree_only_with_each_other(channels: Channels, definition: Definition) -> None:
    x, _ = draw(4, side=7)
    y = x.clone()
    x[0], y[0] = 0.2, 0.8
    x[1], y[2] = 0.3, 0.7
    value = normalized_mutual_information(x, y, channels=channels, definition=definition, bins=256)
    expected = [2.0, 1.0, 1.0, 2.0] if definition == "studholme" else [1.0, 0.0, 0.0, 1.0]
    assert value.tolist()[:3] == expected[:3]
    assert value[3].item() == pytest.approx(expected[3], abs=1e-12)
    if definition not in ("joint", "studholme") and channels == "flatten":
        for pair in range(3):
            a, b = as_bytes(x[pair]).flatten(), as_bytes(y[pair]).flatten()
            assert sklearn_nmi(a, b, average_method=definition) == expected[pair]


def test_separate_channels_are_averaged() -> None:
    x, y = draw(3)
    y[:, 1] = 0.5
    by_channel = [normalized_mutual_information(x[:, [c]], y[:, [c]], bins=256) for c in range(3)]
    value = normalized_mutual_information(x, y, channels="separate", bins=256)
    assert torch.allclose(value, torch.stack(by_channel).mean(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("bins", [8, 16])
def test_bias_of_unrelated_noise_is_as_predicted(bins: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(200, 1, 64, 64, generator=generator), torch.rand(200, 1, 64, 64, generator=generator)
    nats = normalized_mutual_information(x, y, bins=bins, quantisation="float").mean().item() * math.log(bins)
    assert nats == pytest.approx((bins - 1) ** 2 / (2 * 64 * 64), rel=0.05)


# Memory


@pytest.mark.parametrize("channels", get_args(Channels))
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_chunks_do_not_change_values(channels: Channels, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw(5)
    whole = normalized_mutual_information(x, y, bins=32, channels=channels)
    sizes: list[int] = []
    count = metrics.nmi._count

    def counted(x: Tensor, *rest: Any) -> Tensor:
        sizes.append(len(x))
        return count(x, *rest)

    monkeypatch.setattr(metrics.nmi, "_count", counted)
    monkeypatch.setattr(metrics.nmi, "_images_at_once", lambda *_: at_once)
    assert torch.allclose(normalized_mutual_information(x, y, bins=32, channels=channels), whole, rtol=0, atol=1e-12)
    assert sizes == [len(part) for part in x.split(at_once)]


def test_temporary_numbers_stay_within_bounds() -> None:
    photographs = torch.empty(1000, 3, 224, 224, device="meta")
    assert 1 < metrics.nmi._images_at_once(photographs, 256, "flatten") * 256**2 * 8 <= 2**28
    assert 1 < metrics.nmi._images_at_once(photographs, 256, "separate") * 3 * 256**2 * 8 <= 2**28
    assert metrics.nmi._images_at_once(photographs, 10_000, "flatten") == 1


def test_no_images_give_no_values() -> None:
    images = torch.zeros(0, 3, 4, 4)
    for channels in get_args(Channels):
        assert normalized_mutual_information(images, images, channels=channels, bins=256).shape == (0,)
    assert joint_histogram(images, images, bins=8).shape == (0, 8, 8)


def test_autocast_changes_nothing() -> None:
    x, y = draw(2)
    with torch.autocast("cpu", torch.bfloat16):
        inside = normalized_mutual_information(x, y, channels="grey", bins=256)
    assert torch.equal(inside, normalized_mutual_information(x, y, channels="grey", bins=256))


# Refusals


@pytest.mark.parametrize("function", [joint_histogram, normalized_mutual_information])
@pytest.mark.parametrize(
    ("value", "message"),
    [(-0.25, "y has values from -0.25 to 1;"), (1.5, "from 0 to 1.5;"), (math.nan, "to nan;"), (math.inf, "to inf;")],
)
def test_values_outside_the_range_are_refused(function: Callable[..., Tensor], value: float, message: str) -> None:
    x, y = draw(2)
    y[1, 2, 3, 3] = value
    with pytest.raises(ValueError, match=rf"{message}.*clamp it first"):
        function(x, y, bins=256)


@pytest.mark.parametrize(
    ("shapes", "channels", "message"),
    [
        (((2, 3, 4, 4), (2, 3, 4, 5)), "flatten", r"x has shape \(2, 3, 4, 4\) but y has \(2, 3, 4, 5\)"),
        (((4, 3, 2, 2), (2, 3, 2, 2)), "flatten", "expected pairs of equal shape"),
        (((4,), (4,)), "flatten", "at least one value per image"),
        (((4, 3, 0, 0), (4, 3, 0, 0)), "flatten", "at least one value per image"),
        (((2, 1, 4, 4), (2, 1, 4, 4)), "grey", r"expected \(N, 3, H, W\)"),
        (((2, 4), (2, 4)), "separate", r"expected \(N, C, ...\)"),
    ],
)
def test_wrong_shapes_are_refused(shapes: tuple[tuple[int, ...], ...], channels: Channels, message: str) -> None:
    x, y = (torch.zeros(shape) for shape in shapes)
    for function in (joint_histogram, normalized_mutual_information):
        with pytest.raises(ValueError, match=message):
            function(x, y, bins=256, channels=channels)


def test_integers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x is torch.uint8; expected floats in \[0, 1\]"):
        joint_histogram(images := torch.zeros(1, 3, 2, 2, dtype=torch.uint8), images, bins=256)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"bins": 1}, "bins=1; expected a whole number of at least 2"),
        ({"bins": 2.5}, "bins=2.5;"),
        (
            {"definition": "mean"},
            "definition='mean'; expected one of geometric, arithmetic, min, max, joint, studholme",
        ),
        ({"channels": "gray"}, "channels='gray'; expected one of flatten, grey, separate"),
        ({"quantisation": "int8"}, "quantisation='int8'; expected one of uint8, float"),
    ],
)
def test_unknown_options_are_refused_at_construction(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NormalizedMutualInformation(**({"bins": 256} | option))
    with pytest.raises(ValueError, match=message):
        normalized_mutual_information(*draw(1), **({"bins": 256} | option))


def test_defaults_are_the_same_everywhere() -> None:
    ours = inspect.signature(normalized_mutual_information).parameters
    for function in (joint_histogram, mutual_information_ratio, NormalizedMutualInformation.__init__):
        shared = {name: value for name, value in inspect.signature(function).parameters.items() if name in ours}
        for name, parameter in shared.items():
            assert parameter.default == ours[name].default


# The metric


def test_batches_of_any_size_equal_one_batch() -> None:
    x, y = draw(7)
    values = normalized_mutual_information(x, y, bins=256).numpy()
    metric = NormalizedMutualInformation(bins=256)
    for part in (slice(0, 1), slice(1, 5), slice(5, 5), slice(5, 7)):
        metric.update(x[part], y[part])
    result = metric.compute()
    assert result["mean"].item() == pytest.approx(values.mean(), abs=1e-12)
    assert result["std"].item() == pytest.approx(values.std(ddof=1), abs=1e-9)
    assert {value.dtype for value in result.values()} == {torch.float64}


def test_options_reach_the_metric() -> None:
    x, y = draw(3)
    options: dict[str, Any] = {"bins": 9, "definition": "min", "channels": "grey", "quantisation": "float"}
    metric = NormalizedMutualInformation(**options)
    metric.update(x, y)
    expected = normalized_mutual_information(x, y, **options).mean()
    assert metric.compute()["mean"].item() == pytest.approx(expected.item(), abs=1e-12)


def test_forward_returns_the_batch_and_keeps_the_sum() -> None:
    x, y = draw(4)
    metric = NormalizedMutualInformation(bins=256)
    batches = [metric(x[part], y[part])["mean"].item() for part in (slice(0, 2), slice(2, 4))]
    expected = normalized_mutual_information(x, y, bins=256)
    assert batches == pytest.approx(expected.reshape(2, 2).mean(1).tolist(), abs=1e-12)
    assert metric.compute()["mean"].item() == pytest.approx(expected.mean().item(), abs=1e-12)


def test_one_pair_has_no_spread() -> None:
    metric = NormalizedMutualInformation(bins=256)
    metric.update(*draw(1))
    assert metric.compute()["std"] == 0


def test_no_pairs_have_no_mean() -> None:
    metric = NormalizedMutualInformation(bins=256)
    metric.update(torch.zeros(0, 3, 4, 4), torch.zeros(0, 3, 4, 4))
    with pytest.raises(RuntimeError, match="no image pairs"):
        metric.compute()


def test_states_have_a_fixed_size_and_keep_their_dtypes() -> None:
    x, y = draw(3)
    metric = NormalizedMutualInformation(bins=256)
    metric.update(x, y)
    before = metric.compute()
    module = torch.nn.ModuleDict({"metric": metric})
    module.half().bfloat16().to(torch.bfloat16).to("cpu", torch.float16)
    metric.set_dtype(torch.float16)
    metric.update(x[:0], y[:0])
    assert metric.compute() == before
    metric.reset()
    assert [(state.shape, state.dtype) for state in (metric.value_sum, metric.square_sum, metric.count)] == [
        ((), torch.float64),
        ((), torch.float64),
        ((), torch.int64),
    ]


@pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning")
def test_two_ranks_equal_one(tmp_path: Path) -> None:
    x, y = draw(5)

    def work(rank: int) -> dict[str, Tensor]:
        metric = NormalizedMutualInformation(bins=256)
        for part in ((slice(0, 2), slice(2, 3)), (slice(3, 5),))[rank]:
            metric.update(x[part], y[part])
        return metric.compute()

    values = normalized_mutual_information(x, y, bins=256).numpy()
    for result in on_ranks(work, 2, tmp_path):
        assert isinstance(result, dict)
        assert result["mean"].item() == pytest.approx(values.mean(), abs=1e-12)
        assert result["std"].item() == pytest.approx(values.std(ddof=1), abs=1e-9)
