"""Cross evaluation against one image at a time, counted passes, broken networks, and two ranks."""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from datamodules import FakeImages
from lightning_modules.cross_evaluation import CrossEvaluation
from lightning_modules.reconstruction import first_equal
from metrics.nmi import normalized_mutual_information
from networks.classifier import Classifier
from networks.segnet import SegNet

MakeClassifier = Callable[[int], Classifier]
MakeTrainer = Callable[..., pl.Trainer]
Networks = tuple[dict[str, SegNet], dict[str, Classifier]]


@pytest.fixture
def networks(autoencoder: SegNet, make_classifier: MakeClassifier) -> Networks:
    """A_S, an autoencoder with its encoder and another decoder, and one with an encoder of its own; two classifiers."""
    autoencoder(torch.rand(8, 3, 16, 16))
    decoded, other = deepcopy(autoencoder), deepcopy(autoencoder)
    with torch.no_grad():
        for part in (decoded.decoder, other.decoder, other.encoder):
            for parameter in part.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return {"pretrained": autoencoder, "a": decoded, "b": other}, {"a": make_classifier(2), "b": make_classifier(3)}


def evaluated(
    networks: Networks,
    data: FakeImages,
    make_trainer: MakeTrainer,
    targets: torch.Tensor | None = None,
    **options: Any,
) -> CrossEvaluation:
    module = CrossEvaluation(*networks, images=data.images, nmi_bins=16, targets=targets)
    make_trainer(**options).test(module, datamodule=data, verbose=False)
    return module


def test_results_equal_those_of_one_image_at_a_time(
    networks: Networks, data: FakeImages, make_trainer: MakeTrainer
) -> None:
    result = evaluated(networks, data, make_trainer).result
    autoencoders, classifiers = networks
    assert result.rows == ["original", "pretrained", "a", "b"]
    assert result.columns == ["a", "b"]
    split, seen = data.split("test"), []
    for index in range(len(split)):
        image, label, _ = split[index]
        pixels = image[None].float() / 255
        sources = [pixels, *(network.eval()(pixels) for network in autoencoders.values())]
        seen.append([source.clamp(0, 1) for source in sources])
        assert result.labels[index].tolist() == [label, label]
        for row, source in enumerate(sources):
            for column, classifier in enumerate(classifiers.values()):
                logits = classifier.eval()(source)[0]
                assert result.predicted[index, row, column] == int(logits.argmax())
                rank = int((logits > logits[label]).sum())
                assert result.top5[index, row, column] == (rank < 5)
                assert result.top1[index, row, column] == (rank == 0)
            value = normalized_mutual_information(pixels, source.clamp(0, 1), bins=16)
            assert result.nmi_intra[index, row] == pytest.approx(float(value), abs=2e-2)
    assert result.nmi_inter.shape == (5, 4)
    for pair, row in np.ndindex(result.nmi_inter.shape):
        value = normalized_mutual_information(seen[2 * pair][row], seen[2 * pair + 1][row], bins=16)
        assert result.nmi_inter[pair, row] == pytest.approx(float(value), abs=2e-2)


def test_classifiers_can_have_labels_of_their_own(
    networks: Networks, data: FakeImages, make_trainer: MakeTrainer
) -> None:
    plain = evaluated(networks, data, make_trainer).result
    targets = torch.randint(6, (data.images, 2), generator=torch.Generator().manual_seed(3))
    asked = evaluated(networks, data, make_trainer, targets).result
    assert np.array_equal(asked.predicted, plain.predicted)
    assert np.array_equal(asked.labels, targets.numpy())
    for column in range(2):
        right = asked.predicted[:, :, column] == targets[:, None, column].numpy()
        assert np.array_equal(asked.top1[:, :, column].astype(bool), right)
    same = evaluated(networks, data, make_trainer, torch.from_numpy(plain.labels)).result
    assert np.array_equal(same.top5, plain.top5)


def test_every_network_passes_each_image_as_often_as_needed(
    networks: Networks, data: FakeImages, make_trainer: MakeTrainer
) -> None:
    autoencoders, classifiers = networks
    passed: Counter[str] = Counter()

    def count(module: nn.Module, name: str) -> None:
        def add(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            passed[name] += len(inputs[0])

        module.register_forward_pre_hook(add)

    for name, autoencoder in autoencoders.items():
        count(autoencoder.encoder, f"encoder {name}")
        count(autoencoder.decoder, f"decoder {name}")
    for name, classifier in classifiers.items():
        count(classifier, f"classifier {name}")
    evaluated(networks, data, make_trainer)
    images = data.images
    assert passed == {
        "encoder pretrained": images,  # and for "a", which shares it
        "encoder b": images,
        "decoder pretrained": images,
        "decoder a": images,
        "decoder b": images,
        "classifier a": 4 * images,
        "classifier b": 4 * images,
    }


@pytest.mark.parametrize("fine_tuned", [1, 3])
def test_one_encoder_n_plus_1_decoders_and_n_plus_2_times_m_classifier_passes(
    fine_tuned: int, autoencoder: SegNet, make_classifier: MakeClassifier, data: FakeImages, make_trainer: MakeTrainer
) -> None:
    names = ["pretrained", *(f"a{number}" for number in range(fine_tuned))]
    autoencoders = {name: deepcopy(autoencoder) for name in names}
    for number, name in enumerate(names):
        torch.nn.init.constant_(autoencoders[name].decoder.conv_final.weight, number)
    classifiers = {"a": make_classifier(2), "b": make_classifier(3)}
    passed: Counter[str] = Counter()

    def count(module: nn.Module, kind: str) -> None:
        module.register_forward_pre_hook(lambda _, inputs: passed.update({kind: len(inputs[0])}))

    for network in autoencoders.values():
        count(network.encoder, "encoder")
        count(network.decoder, "decoder")
    for classifier in classifiers.values():
        count(classifier, "classifier")
    evaluated((autoencoders, classifiers), data, make_trainer)
    expected = {"encoder": 1, "decoder": fine_tuned + 1, "classifier": (fine_tuned + 2) * len(classifiers)}
    assert passed == {kind: times * data.images for kind, times in expected.items()}


def test_encoders_are_shared_only_when_all_their_weights_are_equal(autoencoder: SegNet) -> None:
    encoder = autoencoder.encoder
    same, moved = deepcopy(encoder), deepcopy(encoder)
    moved.get_buffer("bn11.running_mean")[0] += 1e-6
    assert first_equal([encoder, moved, same, deepcopy(moved)]) == [0, 1, 0, 1]


def test_a_broken_autoencoder_is_named_with_the_image(
    networks: Networks, data: FakeImages, make_trainer: MakeTrainer
) -> None:
    torch.nn.init.constant_(networks[0]["a"].decoder.conv_final.weight, float("nan"))
    with pytest.raises(ValueError, match=r"the reconstruction of 'a' is not finite for image 0"):
        evaluated(networks, data, make_trainer)


def test_a_broken_classifier_is_named_with_the_image_and_its_source(
    networks: Networks, data: FakeImages, make_trainer: MakeTrainer
) -> None:
    torch.nn.init.constant_(networks[1]["b"].network[-1].bias, float("inf"))  # type: ignore[index]
    with pytest.raises(ValueError, match=r"output of classifier 'b', fed by 'original', is not finite for image 0"):
        evaluated(networks, data, make_trainer)


TWO_RANKS = """
from lightning_modules.cross_evaluation import CrossEvaluation

result = tested(CrossEvaluation({"pretrained": autoencoders["pretrained"], "a": autoencoders["a"]}, classifiers,
                                data.images, nmi_bins=16))
names = ("labels", "predicted", "top5", "nmi_intra", "nmi_inter")
save({name: getattr(result, name) for name in names})
"""


@pytest.mark.slow
def test_two_ranks_give_the_bits_of_one(on_one_and_two_ranks: Any) -> None:
    one, *two = on_one_and_two_ranks(TWO_RANKS)
    for result in two:
        assert all(np.array_equal(one[name], result[name]) for name in one)
    assert one["predicted"].shape == (11, 3, 2)
    assert one["nmi_inter"].shape == (5, 3)
