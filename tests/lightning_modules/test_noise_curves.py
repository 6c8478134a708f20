"""Without noise the cross evaluation's answers, with it those of a literal loop; noise depends on the image alone."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from datamodules import FakeImages
from lightning_modules.cross_evaluation import CrossEvaluation
from lightning_modules.noise_curves import NoiseCurves
from networks.classifier import Classifier
from networks.seeding import image_noise
from networks.segnet import SegNet

MakeClassifier = Callable[[int], Classifier]
MakeTrainer = Callable[..., pl.Trainer]
Networks = tuple[dict[str, SegNet], dict[str, Classifier]]


@pytest.fixture
def networks(autoencoder: SegNet, make_classifier: MakeClassifier) -> Networks:
    autoencoder(torch.rand(8, 3, 16, 16))
    made = {"pretrained": autoencoder}
    for number, name in enumerate(("a", "a-seed1", "b")):
        made[name] = deepcopy(autoencoder)
        nn.init.constant_(made[name].decoder.conv_final.weight, 0.05 * (number + 1))
    return made, {"a": make_classifier(2), "b": make_classifier(3)}


def noise_curves(networks: Networks, epsilons: list[float], clamp: bool = False) -> NoiseCurves:
    return NoiseCurves(*networks, {"a": ["a", "a-seed1"], "b": ["b"]}, 11, epsilons, seed=4, clamp=clamp)


def test_without_noise_the_answers_are_the_cross_evaluations(
    networks: Networks, data: FakeImages, make_trainer: MakeTrainer
) -> None:
    cross, module = CrossEvaluation(*networks, images=11, nmi_bins=16), noise_curves(networks, [0.0, 0.5])
    for each in (cross, module):
        make_trainer().test(each, datamodule=data, verbose=False)
    found, expected = module.result, cross.result
    assert np.array_equal(found.labels, expected.labels[:, 0])
    assert found.curves == [
        ("original", "a"), ("pretrained", "a"), ("a", "a"), ("a-seed1", "a"),
        ("original", "b"), ("pretrained", "b"), ("b", "b"),
    ]  # fmt: skip
    for curve, (row, column) in enumerate(found.curves):
        whole = expected.predicted[:, expected.rows.index(row), expected.columns.index(column)]
        assert np.array_equal(found.predicted[:, 0, curve], whole)
    assert not np.array_equal(found.predicted[:, 0], found.predicted[:, 1])


@pytest.mark.parametrize("clamp", [False, True])
def test_noise_comes_before_the_autoencoder(
    networks: Networks, data: FakeImages, make_trainer: MakeTrainer, clamp: bool
) -> None:
    module = noise_curves(networks, [0.3, 1.0], clamp)
    make_trainer().test(module, datamodule=data, verbose=False)
    split = data.split("test")
    for index in range(11):
        image = split[index][0].float() / 255
        [noise] = image_noise("uniform", torch.tensor([index]), image.shape, seed=4)
        for strength, epsilon in enumerate((0.3, 1.0)):
            noisy = image + epsilon * noise
            noisy = (noisy.clamp(0, 1) if clamp else noisy)[None]
            for curve, (row, column) in enumerate(module.curves):
                with torch.no_grad():
                    shown = noisy if row == "original" else networks[0][row](noisy)
                    logits = networks[1][column](shown)[0]
                seen = int(module.result.predicted[index, strength, curve])
                assert float(logits[seen]) == pytest.approx(float(logits.max()), abs=1e-5)


def test_noise_depends_on_seed_and_image_alone_and_is_uniform() -> None:
    index = torch.tensor([7, 3, 11])
    noise = image_noise("uniform", index, (3, 64, 64), seed=0)
    assert torch.equal(noise[1:], image_noise("uniform", index[1:], (3, 64, 64), seed=0))
    assert not torch.equal(noise, image_noise("uniform", index, (3, 64, 64), seed=1))
    assert float(noise.min()) >= -1
    assert float(noise.max()) < 1
    shares = torch.histc(noise, 10, -1, 1) / noise.numel()
    assert torch.allclose(shares, torch.full((10,), 0.1), atol=0.005)
    assert abs(float(torch.corrcoef(noise.flatten(1))[0, 1])) < 0.02
