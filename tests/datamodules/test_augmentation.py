"""The paper's augmentation: a function of image and seed, and each of its kinds does what its name says."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torchvision.transforms.v2 import functional as transforms

import run
from datamodules.augmentation import move, paper_augmentation
from tests.images import fake_images
from tests.studies import Compose


def test_a_result_depends_on_image_and_seed_alone() -> None:
    images = torch.rand(4, 3, 40, 36)
    together = paper_augmentation(images, [5, 6, 7, 8])
    for place in range(4):
        alone = paper_augmentation(images[place : place + 1], [5 + place])
        assert torch.allclose(alone[0], together[place], atol=1e-6)
    assert not torch.equal(paper_augmentation(images, [1, 6, 7, 8])[0], together[0])
    assert together.shape == images.shape
    assert together.min() >= 0
    assert together.max() <= 1


@pytest.mark.parametrize("angle", [-15.0, 7.0])
def test_rotations_are_those_of_torchvision(angle: float) -> None:
    smooth = transforms.gaussian_blur(torch.rand(1, 3, 64, 64), [9, 9], [3.0])
    draw = torch.tensor([[(angle / 15 + 1) / 2, math.log(1 / 0.8) / math.log(1.25 / 0.8), 0.5, 0.5]])
    expected = transforms.rotate(smooth, angle, interpolation=transforms.InterpolationMode.BILINEAR)
    inside = (..., slice(16, 48), slice(16, 48))
    assert torch.allclose(move(smooth, draw)[inside], expected[inside], atol=2e-3)


def test_shifts_and_scales_move_by_what_they_say() -> None:
    neutral = math.log(1 / 0.8) / math.log(1.25 / 0.8)
    image = torch.rand(1, 3, 40, 40)
    shifted = move(image, torch.tensor([[0.5, neutral, 1.0, 0.5]]))  # a tenth of 40 pixels
    assert torch.allclose(shifted[..., :-4], image[..., 4:], atol=1e-4)
    assert torch.allclose(shifted[..., -4:], image[..., -4:].flip(-1), atol=1e-4)  # mirrored at the edge
    ramp = torch.linspace(-1, 1, 41).expand(1, 3, 41, 41)
    larger = move(ramp, torch.tensor([[0.5, 1.0, 0.5, 0.5]]))
    assert torch.allclose(larger[0, 0, 20], ramp[0, 0, 20] / 1.25, atol=0.02)


def test_all_kinds_happen_over_many_seeds() -> None:
    grey = torch.full((200, 3, 24, 24), 0.5)
    seen = paper_augmentation(grey, range(200))
    means, deviations = seen.mean((1, 2, 3)), seen.std((2, 3)).mean(1)
    assert means.min() < 0.42
    assert means.max() > 0.58
    assert deviations.min() < 0.005
    assert 0.03 < deviations.max() < 0.06


def test_training_images_alone_are_augmented_and_anew_in_each_epoch() -> None:
    data = fake_images(class_count=3, size=16, images=6, batch_size=6, augmentation="paper")
    batch = next(iter(data.val_dataloader()))
    plain = batch[0].float() / 255
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    data.trainer = trainer
    assert torch.equal(data.on_after_batch_transfer(batch, 0)[0], plain)
    trainer.training = True
    first = data.on_after_batch_transfer(batch, 0)[0]
    assert torch.equal(data.on_after_batch_transfer(batch, 0)[0], first)
    assert not torch.equal(first, plain)
    trainer.fit_loop.epoch_progress.current.completed = 1
    assert not torch.equal(data.on_after_batch_transfer(batch, 0)[0], first)


@pytest.mark.parametrize("step", ["train_classifier", "pretrain", "finetune", "compress"])
def test_an_unknown_augmentation_is_refused(composed: Compose, step: str) -> None:
    with pytest.raises(ValueError, match=rf"{step}.augmentation=strong: give crop_flip or paper"):
        run.run(composed(f"{step}.augmentation=strong"))
