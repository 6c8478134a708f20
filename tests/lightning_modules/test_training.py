"""Training of classifiers and of A_S, and the schedules they share."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from datamodules import FakeImages
from lightning_modules import Pretraining
from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet
from networks.segnet import SegNet
from tests.images import fake_images
from tests.lightning_modules.factories import classifier_training, pretraining

MakeTrainer = Callable[..., pl.Trainer]


def test_a_classifier_learns_drawn_images(make_trainer: MakeTrainer) -> None:
    torch.manual_seed(0)
    data = fake_images(class_count=3, size=32, images=48, batch_size=8)
    adam = functools.partial(torch.optim.Adam, lr=3e-3)
    module = classifier_training(Classifier(CompactResNet(3)), adam, 3)
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


def test_schedules_move_the_learning_rate_as_they_say(data: FakeImages, make_trainer: MakeTrainer, sgd: Any) -> None:
    assert set(rates("constant", 3, data, make_trainer, sgd)) == {0.1}
    cycle = rates("one_cycle", 10, data, make_trainer, sgd)
    peak = cycle.index(max(cycle))
    assert max(cycle) == pytest.approx(0.1, rel=0.02)
    assert cycle[:peak] == sorted(cycle[:peak])
    assert cycle[peak:] == sorted(cycle[peak:], reverse=True)
    assert cycle[-1] < 1e-3


def test_a_plateau_lowers_the_learning_rate_after_ten_checks(
    data: FakeImages, make_trainer: MakeTrainer, sgd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_better(self: Pretraining, *_: Any) -> None:
        self.log("val/loss", torch.tensor(1.0))

    monkeypatch.setattr(Pretraining, "validation_step", no_better)
    by_epoch = rates("plateau", 14, data, make_trainer, sgd)[::2]
    assert by_epoch[:11] == [0.1] * 11  # the first check and ten that are no better
    assert by_epoch[11] == pytest.approx(0.02)


def test_an_unknown_schedule_is_refused(
    data: FakeImages, autoencoder: SegNet, make_trainer: MakeTrainer, sgd: Any
) -> None:
    module = pretraining(autoencoder, sgd, "cosine")
    with pytest.raises(ValueError, match=r"schedule='cosine' is unknown; choose from constant, one_cycle, plateau"):
        make_trainer().fit(module, datamodule=data)
