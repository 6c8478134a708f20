"""One pass measures what image-by-image loops do; features are the last layer's input, and hooks are gone after."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from datamodules import FakeImages
from lightning_modules.penultimate import penultimate_features
from lightning_modules.signal_statistics import SignalStatistics
from metrics.lab import lab_histogram
from metrics.spectrum import power_spectrum, radial_sums
from networks.classifier import Classifier
from networks.segnet import SegNet

MakeClassifier = Callable[[int], Classifier]
MakeTrainer = Callable[..., pl.Trainer]


@pytest.fixture
def module(autoencoder: SegNet, make_classifier: MakeClassifier, data: FakeImages) -> SignalStatistics:
    autoencoder(torch.rand(8, 3, 16, 16))
    tuned = deepcopy(autoencoder)
    nn.init.constant_(tuned.decoder.conv_final.weight, 0.05)
    other = deepcopy(tuned)
    nn.init.constant_(other.encoder.get_parameter("conv11.bias"), 0.3)
    autoencoders = {"pretrained": autoencoder, "a": tuned, "b": other}
    classifiers = {"a": make_classifier(2), "b": make_classifier(3)}
    return SignalStatistics(autoencoders, classifiers, {"a": "a", "b": "b"}, data.images, (16, 16), [2, 2.5], 5)


def test_results_equal_those_of_one_image_at_a_time(
    module: SignalStatistics, data: FakeImages, make_trainer: MakeTrainer
) -> None:
    make_trainer().test(module, datamodule=data, verbose=False)
    result, split = module.result, data.split("test")
    assert result.rows == ["original", "pretrained", "a", "b"]
    images = [split[index][0][None].float() / 255 for index in range(data.images)]
    with torch.no_grad():
        sources = [images] + [[network(image) for image in images] for network in module.autoencoders]
    for row, shown in enumerate(sources):
        counts = sum(lab_histogram(image.clamp(0, 1)) for image in shown)
        assert isinstance(counts, torch.Tensor)
        assert np.abs(result.lab_counts[row] - counts.numpy()).sum() <= 6  # pixels at an edge, by rounding
        assert result.lab_counts[row].sum() == 3 * 11 * 16 * 16
        sums = [radial_sums(power_spectrum(image), 8) for image in shown]
        power = sum(found / number for found, number in sums) / len(shown)
        assert isinstance(power, torch.Tensor)
        assert np.allclose(result.power[row], power.numpy(), rtol=1e-4)
    assert result.checkerboard.shape == (4, 2, 3)
    assert result.periods == [2, 2.5]


def test_features_are_those_of_chosen_images_before_the_last_layer(
    module: SignalStatistics, data: FakeImages, make_trainer: MakeTrainer
) -> None:
    make_trainer().test(module, datamodule=data, verbose=False)
    found = module.result.features
    assert set(found) == {(name, row) for name in "ab" for row in ("original", "pretrained", name)}
    split = data.split("test")
    images = torch.stack([split[index][0] for index in (0, 2, 5, 8, 10)]).float() / 255  # 5 of 11, evenly
    with torch.no_grad():
        for (name, row), features in found.items():
            classifier = module.classifiers["ab".index(name)]
            shown = images if row == "original" else module.autoencoders[module.rows.index(row) - 1](images)
            assert isinstance(classifier, Classifier)
            *first, _ = list(classifier.network.children())
            expected = nn.Sequential(*first)(classifier.normalization(shown))
            assert torch.allclose(features, expected, atol=1e-5)


def test_features_of_convolutional_heads_and_tokens_are_averaged_and_hooks_are_restored() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 2, 1), nn.Flatten())
    images = torch.rand(2, 3, 6, 6)
    with penultimate_features(network) as features:
        network(images)
        assert torch.allclose(features(), network[:2](images).mean(dim=(2, 3)))
    with pytest.raises(RuntimeError, match="channels"), penultimate_features(network):
        network(images[:, :2])
    assert not any(layer._forward_pre_hooks for layer in network)
    head = nn.Linear(3, 2)
    with penultimate_features(head) as features:
        head(tokens := torch.rand(2, 7, 3))
        assert torch.allclose(features(), tokens.mean(dim=1))
    with pytest.raises(ValueError, match="no linear layer"), penultimate_features(nn.Conv2d(3, 3, 3)):
        pass


TWO_RANKS = """
from lightning_modules.noise_curves import NoiseCurves
from lightning_modules.signal_statistics import SignalStatistics

networks = (autoencoders, classifiers)
found = tested(SignalStatistics(*networks, {"a": "a", "b": "b"}, 11, (32, 32), [2, 4], feature_images=1))
noise = tested(NoiseCurves(*networks, {"a": ["a"], "b": ["b"]}, 11, [0, 0.4], seed=0, clamp=False))
features = {f"features {name} {row}": values.numpy() for (name, row), values in found.features.items()}
save({
    "power": found.power, "boards": found.checkerboard, "lab": found.lab_counts, "index": noise.index,
    "labels": noise.labels, "predicted": noise.predicted, **features,
})
"""


@pytest.mark.slow
def test_two_ranks_measure_what_one_does(on_one_and_two_ranks: Any) -> None:
    one, *two = on_one_and_two_ranks(TWO_RANKS)
    for result in two:
        assert result.keys() == one.keys()
        for name, expected in one.items():
            if name == "lab":
                assert np.abs(result[name] - expected).sum() <= 8  # pixels at an edge, by rounding
            else:
                assert np.allclose(result[name], expected, rtol=1e-4, atol=1e-6), name
    assert one["predicted"].shape == (11, 2, 6)
    assert one["features a original"].shape == (1, 128)
