"""Training of classifiers and of A_S, and the schedules they share."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from datamodules import FakeImages
from lightning_modules.pretraining import Pretraining
from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet
from networks.segnet import SegNet
from tests.images import fake_images
from tests.lightning_modules.factories import classifier_training, pretraining
from tests.replicas import replicates

MakeTrainer = Callable[..., pl.Trainer]


def test_a_classifier_learns_drawn_images(make_trainer: MakeTrainer) -> None:
    torch.manual_seed(0)
    data = fake_images(class_count=3, size=32, images=48, batch_size=8)
    adam = functools.partial(torch.optim.Adam, lr=3e-3)
    module = classifier_training(Classifier(CompactResNet(3)), adam)
    trainer = make_trainer(max_epochs=8)
    trainer.fit(module, datamodule=data)
    classifier, right = module.classifier.eval(), 0
    for images, labels, _ in data.val_dataloader():
        right += int((classifier(images.float() / 255).argmax(1) == labels).sum())
    assert trainer.callback_metrics["val/accuracy"] == pytest.approx(right / 48)
    assert right / 48 > 0.9


def test_the_loss_of_an_autoencoder_is_that_of_normalised_images(
    data: FakeImages, autoencoder: SegNet, make_trainer: MakeTrainer, sgd: Any
) -> None:
    module = pretraining(autoencoder, sgd)
    trainer = make_trainer()
    [logged] = trainer.validate(module, datamodule=data, verbose=False)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    split = data.split("val")
    autoencoder.eval()
    errors = []
    for index in range(len(split)):
        image = split[index][0][None].float() / 255
        errors.append((((autoencoder(image) - image) / std) ** 2).mean().item())
    assert logged["val/loss"] == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_training_lowers_the_loss_and_repeats_bit_for_bit(
    data: FakeImages, make_trainer: MakeTrainer, sgd: Any
) -> None:
    losses = []
    for _ in range(2):
        torch.manual_seed(1)
        module = pretraining(SegNet(((6, 6), (8, 8))), functools.partial(torch.optim.Adam, lr=1e-2))
        trainer = make_trainer(max_epochs=30)
        [before] = trainer.validate(module, datamodule=data, verbose=False)
        trainer.fit(module, datamodule=data)
        losses.append((before["val/loss"], float(trainer.callback_metrics["val/loss"])))
    assert losses[0] == losses[1]
    assert losses[0][1] < 0.7 * losses[0][0]


def rates(schedule: Any, epochs: int, data: FakeImages, make_trainer: MakeTrainer, make_optimizer: Any) -> list[float]:
    """The learning rate of every step."""
    seen: list[float] = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    module = pretraining(SegNet(((6, 6), (8, 8))), make_optimizer, schedule)
    make_trainer(max_epochs=epochs, callbacks=[Watch()]).fit(module, datamodule=data)
    return seen


@replicates("schedule/constant")
def literal_constant(peak: float, steps: int) -> list[float]:
    return [peak] * steps


@replicates("schedule/one_cycle")
def literal_one_cycle(peak: float, steps: int) -> list[float]:
    """Half a cosine from 1/25 of the peak up to it, in 30 % of the steps, and another down to 1/250,000 of it."""
    top, last = 0.3 * steps - 1, steps - 1
    up = [peak / 25 + (peak - peak / 25) * (1 - math.cos(math.pi * step / top)) / 2 for step in range(steps)]
    down = [(1 + math.cos(math.pi * (step - top) / (last - top))) / 2 for step in range(steps)]
    end = peak / 25 / 1e4
    return [up[step] if step <= top else end + (peak - end) * down[step] for step in range(steps)]


@replicates("schedule/plateau")
def literal_plateau(peak: float, losses: Sequence[float]) -> list[float]:
    """The rate before each check: × 0.2 after ten checks in a row without a loss that is lower by 1/10,000."""
    made, best, waited = [peak], math.inf, 0
    for loss in losses[:-1]:
        waited = 0 if loss < best * (1 - 1e-4) else waited + 1
        best = loss if not waited else best
        made.append(made[-1] * (0.2 if waited == 10 else 1))
        waited %= 10
    return made


def test_schedules_move_the_learning_rate_as_they_say(data: FakeImages, make_trainer: MakeTrainer, sgd: Any) -> None:
    assert rates("constant", 3, data, make_trainer, sgd) == literal_constant(0.1, 6)
    assert rates("one_cycle", 10, data, make_trainer, sgd) == pytest.approx(literal_one_cycle(0.1, 20))


def test_a_plateau_lowers_the_learning_rate_after_ten_checks(
    data: FakeImages, make_trainer: MakeTrainer, sgd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [5.0, *[5.0] * 4, 3.0, *[4.0] * 11, *[3.0] * 12, 2.0, 2.0]

    def scripted(self: Pretraining, *_: Any) -> None:
        self.log("val/loss", torch.tensor(losses[self.current_epoch]))

    monkeypatch.setattr(Pretraining, "validation_step", scripted)
    by_epoch = rates("plateau", len(losses), data, make_trainer, sgd)[::2]
    assert by_epoch == pytest.approx(literal_plateau(0.1, losses))
    assert by_epoch[15:17] == pytest.approx([0.1, 0.02])  # the sixth check was the best, ten were no better
    assert by_epoch[-1] == pytest.approx(0.1 * 0.2**2)
