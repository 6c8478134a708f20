"""Fresh readers: they learn what is there, under noise that belongs to the image."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from datamodules import CuedImages
from lightning_modules.probe import Probe
from networks.seeding import image_noise
from networks.segnet import SegNet
from tests.images import cued_images

MakeTrainer = Callable[..., pl.Trainer]


def cued(**options: Any) -> CuedImages:
    return cued_images(cues=[], images=320, held_out=64, size=16, batch_size=16, **options)


def colours(data: CuedImages) -> dict[Any, Tensor]:
    """The object's colour, and numbers that have nothing to do with the image."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.stack([data.split(name).values[:, 0], torch.randint(4, (length,), generator=generator)], dim=1)
        for name, length in data.lengths.items()
    }


def reader() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 24, 3, stride=2), nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(96, 8))


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-2)


def test_what_is_there_is_read_and_what_is_not_is_guessed(make_trainer: MakeTrainer) -> None:
    data = cued()
    targets = colours(data)
    module = Probe(None, reader(), targets, 4, adam, "one_cycle", noise=0.0, seed=0)
    trainer = make_trainer(max_epochs=6)
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    right = (module.predicted == targets["test"]).float().mean(dim=0)
    assert right[0] > 0.9
    assert right[1] < 0.5


def test_predictions_equal_single_images_with_their_own_noise(autoencoder: SegNet, make_trainer: MakeTrainer) -> None:
    data = cued()
    before = deepcopy(autoencoder.state_dict())
    module = Probe(autoencoder, reader(), colours(data), 4, adam, "one_cycle", noise=0.3, seed=2)
    make_trainer().fit(module, datamodule=data)
    seen = []
    for batch_size in (16, 6):
        data.batch_size = batch_size
        make_trainer().test(module, datamodule=data, verbose=False)
        seen.append(module.predicted)
    assert torch.equal(*seen)
    assert all(torch.equal(value, before[key]) for key, value in autoencoder.state_dict().items())
    for index in (0, 7, 63):
        image = data.split("test")[index][0][None].float() / 255
        noise = image_noise("normal", torch.tensor([index]), image.shape[1:], 2)
        logits = module.eval().reader(autoencoder(image) + 0.3 * noise)
        assert logits.reshape(2, 4).argmax(dim=1).tolist() == seen[0][index].tolist()


def test_noise_belongs_to_the_image() -> None:
    noise = image_noise("normal", torch.arange(400), (3, 8, 8), 1)
    assert torch.equal(image_noise("normal", torch.tensor([7]), (3, 8, 8), 1)[0], noise[7])
    assert not torch.equal(image_noise("normal", torch.tensor([7]), (3, 8, 8), 2)[0], noise[7])
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1, abs=0.02)
