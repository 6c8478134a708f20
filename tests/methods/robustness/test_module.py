"""Robustness against one image at a time, and what must hold whatever the networks."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from datamodules import FakeImages
from datamodules.views.subset import ImageSubset, stratified_indices
from methods.robustness.module import ATTACKS, Robustness, RobustnessResult, pgd_attacks
from networks.attacks import Bpda, PgdAttack, ThreatModel, fgsm, pgd
from networks.classifier import Classifier
from networks.seeding import image_generators
from networks.segnet import SegNet
from tasks.registry import check_settings
from tests.images import fake_images
from tests.studies import compose_any

MakeTrainer = Callable[..., pl.Trainer]


def attacks(epsilons: Any = None) -> list[PgdAttack]:
    return pgd_attacks(epsilons or {"linf": [0.05, 0.01], "l2": [0.4]}, steps=2, relative_step=1.5, random_start=True)


pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture
def small() -> FakeImages:
    return fake_images(class_count=6, size=16, images=8, batch_size=4)


@pytest.fixture
def networks(
    autoencoder: SegNet, make_classifier: Callable[[int], Classifier]
) -> tuple[dict[str, Classifier], SegNet, dict[str, SegNet]]:
    autoencoder(torch.rand(8, 3, 16, 16))
    own = {name: deepcopy(autoencoder) for name in "ab"}
    with torch.no_grad():
        for copy in own.values():
            for parameter in copy.decoder.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return {name: make_classifier(seed) for seed, name in enumerate("ab", start=2)}, autoencoder, own


def agreeable(networks: Any, data: FakeImages) -> Any:
    """The classifiers, each moved so that the classes it sees are the labels of many of the images."""
    split = data.split("test")
    images = torch.stack([split[place][0] for place in range(len(split))]).float() / 255
    labels = torch.tensor([split.label(place) for place in range(len(split))])
    for classifier in networks[0].values():
        classifier.eval()
        for module in classifier.modules():
            if isinstance(module, nn.Linear):
                with torch.no_grad():
                    features = classifier.network[:-1](classifier.normalization(images))
                    module.bias.zero_()
                    fitted = torch.linalg.lstsq(features, nn.functional.one_hot(labels, 6).float()).solution.T
                    module.weight.copy_(8 * fitted)
    return networks


def attacked(networks: Any, data: Any, make_trainer: MakeTrainer, **options: Any) -> RobustnessResult:
    classifiers, start, own = networks
    index = data.chosen if isinstance(data, ImageSubset) else range(len(data.split("test")))
    module = Robustness(classifiers, start, own, attacks(), index, seed=3)
    make_trainer(**options).test(module, datamodule=data, verbose=False)
    return module.result


def literal(model: nn.Module, image: torch.Tensor, label: int) -> bool:
    with torch.no_grad():
        return int(model(image)[0].argmax()) == label


def test_predictions_equal_those_of_one_image_at_a_time(
    networks: Any, small: FakeImages, make_trainer: MakeTrainer
) -> None:
    classifiers, start, own = agreeable(networks, small)
    result = attacked(networks, small, make_trainer)
    assert result.threats == [ThreatModel("linf", 0.01), ThreatModel("linf", 0.05), ThreatModel("l2", 0.4)]
    split = small.split("test")
    for number in range(0, len(split), 3):
        image = split[number][0][None].float() / 255
        label = torch.tensor([split.label(number)])

        def search(
            model: nn.Module, threat: ThreatModel, image: Any = image, label: Any = label, number: int = number
        ) -> Any:
            return pgd(
                model, image, label, norm=threat.norm, epsilon=threat.epsilon, step=0.75 * threat.epsilon, steps=2,
                random_start=True, generator=image_generators(3, torch.tensor([number])),
            )  # fmt: skip

        for column, name in enumerate(classifiers):
            made = [search(classifiers[name], threat) for threat in result.threats]
            for place, adversarial in enumerate(made):
                for to, other in enumerate(classifiers.values()):
                    assert result.transferred[number, place, column, to] == literal(other, adversarial, int(label))
            for defence, part in enumerate((None, start, own[name])):
                model = classifiers[name] if part is None else nn.Sequential(part, classifiers[name])
                masked = model if part is None else nn.Sequential(Bpda(part), classifiers[name])
                clean = literal(model, image, int(label))
                assert result.clean[number, column, defence] == clean
                before = dict.fromkeys(("pgd", "bpda", "worst"), clean)
                for place, threat in enumerate(result.threats):
                    if place == 2:  # another norm
                        before = dict.fromkeys(("pgd", "bpda", "worst"), clean)
                    right = {
                        "fgsm": literal(model, fgsm(model, image, label, threat.epsilon, norm=threat.norm), int(label)),
                        "transfer": literal(model, made[place], int(label)),
                        "pgd": before["pgd"] and literal(model, search(model, threat), int(label)),
                        "bpda": before["bpda"] and literal(model, search(masked, threat), int(label)),
                    }
                    before = right | {"worst": before["worst"] and all(right.values())}
                    found = result.right[number, column, place, defence]
                    assert dict(zip(ATTACKS, found.astype(bool).tolist(), strict=True)) == right
                    assert result.worst[number, column, place, defence] == before["worst"]


def test_the_worst_case_never_gets_better_with_a_larger_budget_or_one_more_attack(
    networks: Any, small: FakeImages, make_trainer: MakeTrainer
) -> None:
    result = attacked(agreeable(networks, small), small, make_trainer)
    assert result.clean[:, :, 0].mean() > 0.9
    assert 0.05 < result.worst.mean() < 0.9  # so that there is something to compare
    assert (result.worst <= result.clean[:, :, None]).all()
    assert (result.worst[..., None] <= result.right).all()
    assert (result.worst[:, :, 1] <= result.worst[:, :, 0]).all()
    for attack in ("pgd", "bpda"):
        predictions = result.right[..., ATTACKS.index(attack)]
        assert (predictions[:, :, 1] <= predictions[:, :, 0]).all()
        assert (predictions <= result.clean[:, :, None]).all()


def test_neither_batches_nor_modes_change_a_prediction(
    networks: Any, small: FakeImages, make_trainer: MakeTrainer
) -> None:
    agreeable(networks, small)
    expected = attacked(networks, small, make_trainer)
    small.batch_size = 6
    found = attacked(networks, small, make_trainer, inference_mode=False)
    for name in ("index", "labels", "clean", "right", "transferred", "vanishing"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_chosen_images_get_the_predictions_they_get_among_all(
    networks: Any, small: FakeImages, make_trainer: MakeTrainer
) -> None:
    agreeable(networks, small)
    everything = attacked(networks, small, make_trainer)
    data = ImageSubset(small, stratified_indices(small.split("test"), 5))
    some = attacked(networks, data, make_trainer)
    assert some.index.tolist() == data.chosen
    assert len(some.clean) == 5
    assert np.array_equal(some.right, everything.right[data.chosen])
    assert np.array_equal(some.transferred, everything.transferred[data.chosen])


def test_images_are_spread_evenly_over_the_classes() -> None:
    split = fake_images(class_count=6, size=16, images=60).split("test")
    chosen = stratified_indices(split, 18)
    assert chosen == sorted(set(chosen))
    assert np.bincount([split.label(place) for place in chosen]).tolist() == [3] * 6
    assert stratified_indices(split, None) == stratified_indices(split, 100) == list(range(60))
    assert len({split.label(place) for place in stratified_indices(split, 4)}) == 4
    with pytest.raises(ValueError, match="0 of 60 images"):
        stratified_indices(split, 0)


class Stepwise(nn.Module):
    """A defence that only hides gradients: pixels in few steps."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images * 32).round() / 32


def test_a_defence_that_only_hides_gradients_is_seen_through(
    networks: Any, small: FakeImages, make_trainer: MakeTrainer
) -> None:
    classifiers, _, _ = agreeable(networks, small)
    result = attacked((classifiers, Stepwise(), {name: Stepwise() for name in "ab"}), small, make_trainer)
    accuracy = {attack: result.right[:, :, 1, 1, place].mean() for place, attack in enumerate(ATTACKS)}
    assert result.vanishing[:, :, 1].all()
    assert not result.vanishing[:, :, 0].any()
    assert accuracy["fgsm"] == result.clean[:, :, 1].mean()  # which looks safe
    assert accuracy["bpda"] < accuracy["fgsm"] - 0.2
    assert result.worst[:, :, 1, 1].mean() <= accuracy["bpda"]


def test_bad_settings_are_named(networks: Any) -> None:
    classifiers, start, own = networks
    with pytest.raises(ValueError, match=r"autoencoders of \['a'\] for classifiers \['a', 'b'\]"):
        Robustness(classifiers, start, {"a": own["a"]}, attacks(), [0], seed=3)
    for epsilons, message in (
        ({"l1": [0.1]}, "norm='l1' is unknown"),
        ({"linf": [float("inf")]}, "epsilon=inf; give a number"),
    ):
        with pytest.raises(ValueError, match=message):
            attacks(epsilons)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("linf=[0.1,0.1]", "robustness.epsilons.linf"),
        ("linf=[0]", "robustness.epsilons.linf"),
        ("linf=[] robustness.epsilons.l2=[]", "robustness.epsilons: give one of linf or l2 at least"),
    ],
)
def test_bad_epsilons_are_refused_before_any_work(setting: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        check_settings(compose_any(tmp_path, *f"robustness.epsilons.{setting}".split()))


def test_a_broken_classifier_is_an_error_that_names_the_image(
    networks: Any, small: FakeImages, make_trainer: MakeTrainer
) -> None:
    nn.init.constant_(networks[0]["b"].network[-1].bias, float("nan"))
    with pytest.raises(ValueError, match="not finite for image 0"):
        attacked(networks, small, make_trainer)


TWO_RANKS = """
from datamodules.views.subset import ImageSubset
from methods.robustness.module import Robustness, pgd_attacks

start = autoencoders.pop("pretrained")
chosen = ImageSubset(data, [0, 1, 2, 4, 6, 8, 10])
attacks = pgd_attacks({"linf": [0.01], "l2": [0.3]}, 2, 1.5, True)
module = Robustness(classifiers, start, autoencoders, attacks, chosen.chosen, seed=0)
result = tested(module, chosen)
names = ("index", "labels", "clean", "right", "vanishing", "transferred")
save({name: getattr(result, name) for name in names})
"""


@pytest.mark.slow
def test_two_ranks_give_the_predictions_of_one(on_one_and_two_ranks: Any) -> None:
    one, *two = on_one_and_two_ranks(TWO_RANKS)
    for result in two:
        assert all(np.array_equal(one[name], result[name]) for name in one)
    assert one["right"].shape == (7, 2, 2, 3, 4)
