"""What passes the channels, classified one image, one channel and one classifier at a time; what decides nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from scipy.stats import entropy  # type: ignore[import-untyped]
from torch import Tensor

from datamodules import FakeImages
from datamodules.views.subset import ImageSubset
from methods.band_tolerance.channel import transmit
from methods.band_tolerance.evaluation import BandEvaluation, Channel, Passed
from methods.band_tolerance.transform import BandTransform
from networks.classifier import Classifier
from networks.seeding import seeded_generator
from tests.images import fake_images

IMAGES = [0, 1, 3, 4, 6, 9, 10]
READERS = ((0, 1), (1,), (0, 1), (0,))


pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture
def classifiers(make_classifier: Callable[[int], Classifier]) -> dict[str, Classifier]:
    return {"one": make_classifier(2).eval(), "other": make_classifier(4).eval()}


def channels() -> list[Channel]:
    """Two wavelets, two numbers of scales, four channels."""
    generator, made = torch.Generator().manual_seed(0), []
    for (wavelet, levels), readers in zip((("db2", 2), ("haar", 2), ("db2", 2), ("haar", 2)), READERS, strict=True):
        transform = BandTransform(wavelet, levels)
        shape = (len(transform.bands), 3)
        log_ratio, variance = torch.randn(shape, generator=generator) * 3, torch.rand(shape, generator=generator)
        mean = torch.tensor([3.0, 0.1, -0.2]) + torch.rand(3, generator=generator)
        made.append(Channel(transform, log_ratio, variance / 10, mean, readers))
    return made


def evaluated(
    classifiers: dict[str, Classifier], data: FakeImages, make_trainer: Callable[..., pl.Trainer], **changes: Any
) -> Passed:
    options: dict[str, Any] = {"complete": True, "targets": None, "seed": 5, **changes}
    module = BandEvaluation(classifiers, channels(), IMAGES, **options)
    make_trainer().test(module, datamodule=ImageSubset(data, IMAGES), verbose=False)
    return module.result


def softmax(logits: Tensor) -> np.ndarray:
    values: np.ndarray = logits.double().softmax(dim=1)[0].numpy()
    return values


@torch.no_grad()
def test_the_predictions_equal_a_loop_over_images_and_channels(
    classifiers: dict[str, Classifier], data: FakeImages, make_trainer: Callable[..., pl.Trainer]
) -> None:
    found = evaluated(classifiers, data, make_trainer)
    assert found.index.tolist() == IMAGES
    split, networks = data.split("test"), list(classifiers.values())
    for position, place in enumerate(IMAGES):
        pixels, label, _ = split[place]
        image = pixels[None].float() / 255
        clean = [network(image) for network in networks]
        assert found.labels[position].tolist() == [label, label]
        assert found.decisions[position].tolist() == [int(logits.argmax()) for logits in clean]
        noise = torch.randn(3 * 16 * 16, generator=seeded_generator(5, place))
        for row, channel in enumerate(channels()):
            bands, start, random = channel.transform.analyse(image), 0, []
            for band in bands:
                random.append(noise[start : start + band.numel()].view(band.shape))
                start += band.numel()
            assert start == len(noise)
            passed = transmit(
                channel.transform, bands, random, channel.log_ratio, channel.variance, channel.mean, (16, 16)
            )
            powers = np.stack([(band[0].double() ** 2).mean(dim=(1, 2)).numpy() for band in bands])
            same = next(each for each in channels()[::-1] if each.transform.wavelet == channel.transform.wavelet)
            low = (bands[-1][0] - same.mean[:, None, None]).double()  # one channel of each wavelet gives the mean
            powers[-1] = (low**2).mean(dim=(1, 2)).numpy()
            np.testing.assert_allclose(found.powers[channel.transform.wavelet][position], powers, rtol=1e-5, atol=1e-9)
            for column, network in enumerate(networks):
                if column not in channel.readers:
                    assert found.predicted[position, row, column] == -1
                    assert np.isnan(found.divergence[position, row, column])
                    continue
                logits = network(passed)
                assert found.predicted[position, row, column] == int(logits.argmax())
                expected = entropy(softmax(clean[column]), softmax(logits))
                assert found.divergence[position, row, column] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert (found.predicted[:, 0] != found.decisions).any()  # something changes
    assert set(found.powers) == {"db2", "haar"}


def test_batch_sizes_decide_nothing(
    classifiers: dict[str, Classifier], make_trainer: Callable[..., pl.Trainer]
) -> None:
    found = []
    for batch_size in (2, 5, 100):
        data = fake_images(class_count=6, size=16, images=11, batch_size=batch_size)
        found.append(evaluated(classifiers, data, make_trainer))
    for other in found[1:]:
        for name in ("index", "labels", "decisions", "predicted"):
            assert np.array_equal(getattr(other, name), getattr(found[0], name))
        np.testing.assert_allclose(other.divergence, found[0].divergence, rtol=1e-4, atol=1e-6)
        for wavelet, powers in other.powers.items():
            np.testing.assert_allclose(powers, found[0].powers[wavelet], rtol=1e-5, atol=1e-9)


def test_the_noise_is_that_of_the_seed(
    classifiers: dict[str, Classifier], data: FakeImages, make_trainer: Callable[..., pl.Trainer]
) -> None:
    one, again, other = (evaluated(classifiers, data, make_trainer, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(one.divergence, again.divergence, equal_nan=True)
    assert not np.array_equal(one.divergence, other.divergence, equal_nan=True)
    assert np.array_equal(one.decisions, other.decisions)


def test_targets_are_those_of_each_classifier(
    classifiers: dict[str, Classifier], data: FakeImages, make_trainer: Callable[..., pl.Trainer]
) -> None:
    targets = torch.arange(22).view(11, 2) % 6
    found = evaluated(classifiers, data, make_trainer, targets=targets)
    assert np.array_equal(found.labels, targets[IMAGES].numpy())


@pytest.mark.parametrize(("broken", "what"), [("clean", "the originals"), ("passed", "what passes")])
def test_logits_that_are_no_numbers_are_an_error_that_names_classifier_and_image(
    broken: str, what: str, classifiers: dict[str, Classifier], data: FakeImages,
    make_trainer: Callable[..., pl.Trainer], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    original, seen = classifiers["other"].forward, []

    def forward(images: Tensor) -> Tensor:
        logits = original(images).clone()
        seen.append(len(images))
        if len(seen) == (1 if broken == "clean" else 2):
            logits[1] = torch.nan  # the second image of the first batch
        return logits

    monkeypatch.setattr(classifiers["other"], "forward", forward)
    message = rf"the output of classifier 'other', fed with {what}, is not finite for image 1: its weights or"
    with pytest.raises(ValueError, match=message):
        evaluated(classifiers, data, make_trainer)


TWO_RANKS = """
from datamodules.views.subset import ImageSubset
from methods.band_tolerance.evaluation import BandEvaluation, Channel
from methods.band_tolerance.transform import BandTransform

channels, images = [], [0, 1, 3, 4, 6, 9, 10]
for wavelet, readers in (("db2", (0, 1)), ("haar", (1,))):
    transform = BandTransform(wavelet, 2)
    shape = (len(transform.bands), 3)
    channels.append(Channel(transform, torch.randn(shape), torch.rand(shape), torch.ones(3), readers))
module = BandEvaluation(classifiers, channels, images, complete=True, targets=None, seed=5)
result = vars(tested(module, ImageSubset(data, images)))
save(result | result.pop("powers"))
"""


@pytest.mark.slow
def test_two_ranks_predict_as_one(on_one_and_two_ranks: Any) -> None:
    one, *two = on_one_and_two_ranks(TWO_RANKS)
    for result in two:
        for name, values in one.items():
            if values.dtype.kind == "i":
                assert np.array_equal(result[name], values)
            else:
                np.testing.assert_allclose(result[name], values, rtol=1e-4, atol=1e-6)
    assert set(one) == {"index", "labels", "decisions", "predicted", "divergence", "db2", "haar"}
