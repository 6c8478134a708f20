"""The start of a fit: the fewest bits by water-filling that keep the first tolerance."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import scipy.stats  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from methods.band_tolerance.channel import bits, split_noise, transmit, water_filling_log_ratio
from methods.band_tolerance.fit import BandFit, Stages
from networks.classifier import Classifier
from networks.seeding import combined_seed, seeded_generator
from tests.methods.band_tolerance.test_fit import OPTIONS, TRANSFORM, Batches, MakeTrainer, make_fit


@pytest.fixture
def classifier(make_classifier: Callable[[int], Classifier]) -> Classifier:
    return make_classifier(2).eval()


@pytest.fixture
def images() -> Batches:
    return Batches()


class Start(pl.Callback):
    """log ρ before the first step."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.log_ratio = pl_module.log_ratio.detach().clone()


def test_the_start_has_the_fewest_bits_by_water_filling_that_keep_the_first_tolerance(
    classifier: Classifier, images: Batches, make_trainer: MakeTrainer
) -> None:
    """On a grid of rates: D is within the tolerance at the rate of the start, and not a step of the grid below it."""
    stages = Stages((1e-4,), first_steps=8, steps=5)
    options: dict[str, Any] = {**OPTIONS, "start": None, "stages": stages, "targets": "decisions"}
    known = (images.pixels, images.index)
    module = BandFit(classifier, TRANSFORM, *images.statistics(), (16, 16), images=known, **options)
    start = Start()
    make_trainer(max_epochs=-1, max_steps=1, callbacks=[start]).fit(module, datamodule=images)
    variance, mean = images.statistics()
    counts, pixels = TRANSFORM.counts(16, 16), images.pixels.float() / 255
    drawn = [torch.randn(768, generator=seeded_generator(combined_seed(3, -1), int(at))) for at in images.index]

    @torch.no_grad()
    def distortion(log_ratio: Tensor) -> float:
        bands = TRANSFORM.analyse(pixels)
        passed = transmit(
            TRANSFORM,
            bands,
            split_noise(torch.stack(drawn), bands),
            log_ratio.float(),
            variance.float(),
            mean.float(),
            (16, 16),
        )
        p, q = (classifier(each).double().softmax(dim=1).numpy() for each in (pixels, passed))
        return float(scipy.stats.entropy(p, q, axis=1).mean())

    rates = np.geomspace(1, 768 * 12, 150)
    spreads = [water_filling_log_ratio(rate, counts, variance.float()).clamp(min=-3) for rate in rates]
    enough = next(number for number, each in enumerate(spreads) if distortion(each) <= stages.tolerances[0])
    low, high = (float(bits(counts, spreads[number], variance).sum()) for number in (enough - 1, enough + 1))
    assert low < float(bits(counts, start.log_ratio.double(), variance).sum()) < high
    assert distortion(start.log_ratio) <= stages.tolerances[0] * 1.001


def test_a_start_by_water_filling_needs_the_images(classifier: Classifier, images: Batches) -> None:
    with pytest.raises(ValueError, match="needs the images of the fit"):
        make_fit(classifier, images, start=None)


class Sure(nn.Module):
    """A classifier of which the logits are 100 times as large."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(images)
        return 100 * logits


def test_half_precision_starts_near_full_precision(
    classifier: Classifier, images: Batches, make_trainer: MakeTrainer
) -> None:
    """Answers and what passes are in one precision: else rounding alone would be more than a tight tolerance."""
    rates, sure = {}, Sure(classifier)
    for precision in ("32-true", "bf16-mixed"):
        options: dict[str, Any] = {**OPTIONS, "start": None, "stages": Stages((1e-4,), 8, 5), "targets": "decisions"}
        known = (images.pixels, images.index)
        module = BandFit(sure, TRANSFORM, *images.statistics(), (16, 16), images=known, **options)
        start = Start()
        make_trainer(max_epochs=-1, max_steps=1, callbacks=[start], precision=precision).fit(module, datamodule=images)
        rates[precision] = float(bits(TRANSFORM.counts(16, 16), start.log_ratio.double(), images.statistics()[0]).sum())
    assert rates["bf16-mixed"] < 1.25 * rates["32-true"]
