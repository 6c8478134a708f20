"""The fit against its steps written out, and what must decide nothing."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import scipy.stats  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from methods.band_tolerance.fit import BandFit, Stages, divergence
from methods.band_tolerance.transform import BandTransform
from networks.classifier import Classifier
from networks.seeding import seeded_generator
from tests.replicas import replicates

MakeTrainer = Callable[..., pl.Trainer]
TRANSFORM = BandTransform("db2", 2)
STAGES = Stages((0.02, 0.3, 0.9), first_steps=8, steps=5)
OPTIONS: dict[str, Any] = {"start": 2.0, "lr": 0.3, "later_lr": 0.2, "weight": 4.0, "seed": 3, "chunk": 3}


pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture
def classifier(make_classifier: Callable[[int], Classifier]) -> Classifier:
    return make_classifier(2).eval()


class Batches(pl.LightningDataModule):
    """Nine images in batches of four, in the same order in every epoch; the last one is left over."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(8)
        self.pixels = torch.randint(256, (9, 3, 16, 16), generator=generator, dtype=torch.uint8)
        self.index = torch.tensor([0, 1, 3, 4, 6, 7, 8, 9, 12])  # in the split
        self.labels = torch.randint(6, (9,), generator=generator)

    def train_dataloader(self) -> DataLoader[Any]:
        images = self.pixels.float() / 255
        batches = [(images[part], self.labels[part], self.index[part]) for part in torch.arange(8).split(4)]
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean squares in the bands, the low-pass about its mean, and this."""
        bands = TRANSFORM.analyse(self.pixels.double() / 255)
        mean = bands[-1].mean(dim=(0, 2, 3))
        bands[-1] = bands[-1] - mean[:, None, None]
        return torch.stack([band.square().mean(dim=(0, 2, 3)) for band in bands]), mean


@pytest.fixture
def images() -> Batches:
    return Batches()


def make_fit(classifier: nn.Module, images: Batches, **changes: Any) -> BandFit:
    options = {**OPTIONS, "stages": STAGES, "targets": "decisions", **changes}
    return BandFit(classifier, TRANSFORM, *images.statistics(), (16, 16), **options)


class History(pl.Callback):
    """log ρ and the weight of the rate after every step."""

    def __init__(self) -> None:
        self.ratios: list[Tensor] = []
        self.weights: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.ratios.append(pl_module.log_ratio.detach().clone())
        self.weights.append(float(pl_module.rate_weight.value))


def fitted(module: BandFit, images: Batches, make_trainer: MakeTrainer) -> History:
    history = History()
    trainer = make_trainer(max_epochs=-1, max_steps=module.stages.total, limit_val_batches=0, callbacks=[history])
    trainer.fit(module, datamodule=images)
    return history


@replicates(BandFit)
@pytest.mark.parametrize(("targets", "tolerances"), [("decisions", (0.002, 0.01, 0.3)), ("labels", (1.8, 2.4, 3.0))])
def test_the_fit_equals_its_steps_written_out(
    targets: str,
    tolerances: tuple[float, ...],
    classifier: Classifier,
    images: Batches,
    make_trainer: MakeTrainer,
) -> None:
    classifier.double()
    module = make_fit(classifier, images, targets=targets, stages=Stages(tolerances, 8, 5)).double()
    units = torch.eye(3 * 16 * 16, dtype=torch.float64).view(-1, 3, 16, 16)
    matrix = torch.cat([band.flatten(1) for band in TRANSFORM.analyse(units)], dim=1).T  # coefficients = matrix · image
    band_of = torch.cat(  # number of the band and colour of each coefficient
        [
            torch.full((int(count),), 3 * band + colour)
            for band, count in enumerate(TRANSFORM.counts(16, 16)[:, 0].tolist())
            for colour in range(3)
        ]
    )
    pixels = (images.pixels.float() / 255).double()
    statistics = [each.float().double() for each in images.statistics()]  # as in the module
    variance, mean = statistics[0].flatten(), torch.zeros(len(band_of), dtype=torch.float64)
    for colour in range(3):
        mean[band_of == 18 + colour] = statistics[1][colour]
    counts = torch.bincount(band_of).double()
    theta = torch.full((21,), 2.0, dtype=torch.float64)
    first, second, smoothed = torch.zeros(21).double(), torch.zeros(21).double(), None
    seen, weights, distortions = [], [], []
    for step in range(18):
        epoch, batch = divmod(step, 2)
        seen_now = range(4 * batch, 4 * batch + 4)
        theta.requires_grad_()
        distortion = torch.zeros((), dtype=torch.float64)
        for number in seen_now:
            image, label, place = pixels[number], int(images.labels[number]), int(images.index[number])
            noise = torch.randn(768, generator=seeded_generator(hash((3, epoch)) % 2**62, place)).double()
            rho = theta.exp()[band_of]
            y = (matrix @ image.flatten() - mean) + (variance[band_of] / rho).sqrt() * noise
            passed = matrix.T @ (y * rho / (1 + rho) + mean)
            q = classifier(passed.view(1, 3, 16, 16))[0].softmax(dim=0)
            if targets == "labels":
                distortion = distortion - q[label].log() / 4
            else:
                p = classifier(image[None])[0].softmax(dim=0).detach()
                distortion = distortion + sum(p[k] * (p[k] / q[k]).log() for k in range(6)) / 4
        tolerance = tolerances[0 if step < 8 else 1 if step < 13 else 2]
        distortions.append(float(distortion.detach()))
        smoothed = distortions[0] if smoothed is None else 0.7 * smoothed + 0.3 * distortions[-1]
        weight = 4.0 * min(1.0, max(0.0, 1 - smoothed / tolerance))
        rate = (counts * (1 + theta.exp()).log2() / 2).sum()
        [gradient] = torch.autograd.grad(distortion + weight * tolerance * rate.log(), theta)
        lr = 0.3 * (1 - step / 8) if step < 8 else 0.2 * (1 - (step - 8) % 5 / 5)
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        unbiased = (second / (1 - 0.99 ** (step + 1))).sqrt()
        theta = (theta - lr * first / (1 - 0.9 ** (step + 1)) / (unbiased + 1e-8)).detach()
        seen.append(theta)
        weights.append(weight)
    history = fitted(module, images, make_trainer)
    assert float((seen[-1] - 2).abs().max()) > 0.5
    assert 0 in weights
    assert max(weights) > 0.5
    torch.testing.assert_close(torch.stack(history.ratios).flatten(1), torch.stack(seen), rtol=0, atol=1e-10)
    np.testing.assert_allclose(history.weights, weights, rtol=0, atol=1e-10)
    halves = (range(4, 8), range(11, 13), range(16, 18))
    for stage, steps in enumerate(halves):
        expected = torch.stack([seen[step] for step in steps]).mean(dim=0).view(7, 3)
        torch.testing.assert_close(module.log_ratios()[stage], expected, rtol=0, atol=1e-10)
        average = np.mean([distortions[step] for step in steps])
        assert float(module.distortions()[stage]) == pytest.approx(average, abs=1e-10)


def test_the_stages_are_as_long_as_they_should_be() -> None:
    stages = [STAGES.at(step)[0] for step in range(STAGES.total)]
    assert stages == [0] * 8 + [1] * 5 + [2] * 5
    assert STAGES.at(STAGES.total) == (2, 1.0)
    assert [STAGES.at(step)[1] for step in (0, 6, 8, 12, 13)] == pytest.approx([0, 0.75, 0, 0.8, 0])


@pytest.mark.parametrize("double", [False, True])
def test_the_chunk_decides_nothing(
    double: bool, classifier: Classifier, images: Batches, make_trainer: MakeTrainer
) -> None:
    found = []
    for chunk in (1, 5, 64):
        module = make_fit(deepcopy(classifier), images, chunk=chunk)
        fitted(module.double() if double else module, images, make_trainer)
        found.append(module.log_ratios())
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-10 if double else 1e-3)


def test_the_gradient_is_that_of_finite_differences(classifier: Classifier, images: Batches) -> None:
    module = make_fit(classifier.double(), images).double()
    pixels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn(3, 768, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = index = torch.arange(3)
    _, gradient = module.distortion(pixels, labels, index, noise)
    for place in ((0, 0), (3, 1), (6, 2)):
        values = []
        for change in (1e-5, -1e-5):
            with torch.no_grad():
                module.log_ratio[place] += change
            values.append(float(module.distortion(pixels, labels, index, noise)[0]))
            with torch.no_grad():
                module.log_ratio[place] -= change
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(gradient[place]), rel=1e-5, abs=1e-10)


def test_the_divergence_equals_that_of_scipy() -> None:
    logits, others = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4
    p, q = (each.softmax(dim=1).numpy() for each in (logits, others))
    np.testing.assert_allclose(divergence(logits, others), scipy.stats.entropy(p, q, axis=1), rtol=1e-12)
    assert divergence(logits, logits).abs().max() == 0
    extreme = torch.tensor([[1e4, 0.0, -1e4]])
    assert torch.isfinite(divergence(extreme, -extreme)).all()


def test_half_precision_does_not_round_divergences(make_trainer: MakeTrainer) -> None:
    logits = torch.tensor([[1.0, 0.5]]).bfloat16()
    found = divergence(logits, logits + 0.0625)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(0, abs=1e-7)  # a constant changes nothing


def test_the_noise_depends_on_seed_epoch_and_image_alone(classifier: Classifier, images: Batches) -> None:
    def noise(seed: int, epoch: int, *index: int) -> Tensor:
        module = make_fit(classifier, images, seed=seed)
        module.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        module.trainer.fit_loop.epoch_progress.current.completed = epoch
        return module.noise(torch.tensor(index, dtype=torch.long))

    assert torch.equal(noise(0, 0, 4, 2)[1], noise(0, 0, 2)[0])
    for other in (noise(1, 0, 2), noise(0, 1, 2), noise(0, 0, 3)):
        assert abs(float(torch.corrcoef(torch.cat([noise(0, 0, 2), other]))[0, 1])) < 0.15


def test_the_classifier_stays_as_it_was_and_out_of_the_checkpoint(
    classifier: Classifier, images: Batches, make_trainer: MakeTrainer
) -> None:
    before = deepcopy(classifier.state_dict())
    module = make_fit(classifier, images)
    fitted(module, images, make_trainer)
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())
    kept = {
        "log_ratio",
        "rate_weight.value",
        "rate_weight.smoothed",
        "sums",
        "distortions_summed",
        "averaged",
        "started",
    }
    assert set(module.state_dict()) == kept
    assert not module.train().classifier.training


def test_a_tight_tolerance_needs_more_bits_than_a_loose_one(
    classifier: Classifier, images: Batches, make_trainer: MakeTrainer
) -> None:
    module = make_fit(classifier, images, stages=Stages((0.01, 0.1, 0.5), 60, 30))
    fitted(module, images, make_trainer)
    counts = TRANSFORM.counts(16, 16)[:, 0].numpy()
    rates = [(counts[:, None] * np.log2(1 + np.exp(ratio)) / 2).sum() for ratio in module.log_ratios().numpy()]
    assert rates[0] > 1.2 * rates[1] > 1.2**2 * rates[2]
    distortions = module.distortions().tolist()
    assert all(reached <= tolerance for reached, tolerance in zip(distortions, (0.01, 0.1, 0.5), strict=True))


@pytest.mark.parametrize("targets", ["decisions", "labels"])
def test_logits_that_are_no_numbers_are_an_error_that_names_the_image(
    targets: str, classifier: Classifier, images: Batches, make_trainer: MakeTrainer
) -> None:
    with torch.no_grad():
        next(classifier.parameters()).fill_(math.nan)
    with pytest.raises(ValueError, match=r"the output of the classifier.* is not finite for image \d+: its weights or"):
        fitted(make_fit(classifier, images, targets=targets), images, make_trainer)


RANKS = """
from torch.utils.data import DataLoader

from methods.band_tolerance.fit import BandFit, Stages
from methods.band_tolerance.transform import BandTransform


drawn = torch.rand(12, 3, 32, 32)  # here: Lightning may seed anew when a training begins on several ranks


class Shares(pl.LightningDataModule):
    def train_dataloader(self):
        images, labels, index = drawn, torch.arange(12) % 6, torch.arange(12)
        world, rank = self.trainer.world_size, self.trainer.global_rank
        parts = [part[rank::world] for part in index.split(6)]
        return DataLoader([(images[part], labels[part], part) for part in parts], batch_size=None)


transform, stages, arrays = BandTransform("db2", 2), Stages((0.02, 0.3), 10, 6), {}
for targets in ("decisions", "labels"):
    torch.manual_seed(3)
    module = BandFit(
        classifiers["a"].double(), transform, torch.full((7, 3), 0.05), torch.tensor([3.5, 0, 0]), (32, 32), chunk=2,
        stages=stages, targets=targets, start=2.0, lr=0.3, later_lr=0.2, weight=4.0, seed=3,
    ).double()
    trainer = make_trainer(max_epochs=-1, max_steps=stages.total, limit_val_batches=0, num_sanity_val_steps=0)
    trainer.fit(module, datamodule=Shares())
    arrays |= {targets: module.log_ratios().numpy(), f"{targets} D": module.distortions().numpy()}
save(arrays)
"""


@pytest.mark.slow
def test_any_number_of_ranks_finds_the_channel_of_one(on_ranks: Any) -> None:
    found = on_ranks(RANKS, (1, 2, 3))
    [one] = found[1]
    assert np.abs(one["decisions"] - 2).max() > 0.5
    for ranks in (2, 3):
        assert len(found[ranks]) == ranks
        for result in found[ranks]:
            assert result.keys() == one.keys()
            for name, values in result.items():
                np.testing.assert_allclose(values, one[name], rtol=0, atol=1e-6)
                assert np.array_equal(values, found[ranks][0][name])
