"""Predictions on clean and on triggered images: each as a plain loop gives it, on one rank and on two."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from datamodules import FakeImages, PoisonedImages
from datamodules.poison import Poison, apply_trigger
from methods.class_patterns.planted_backdoor import BackdoorPredictions
from networks.classifier import Classifier

ON_RANKS = """
from datamodules.poison import Poison
from methods.class_patterns.planted_backdoor import BackdoorPredictions

poison = Poison(1, side=9, position="random")
found = tested(BackdoorPredictions(classifiers["a"], poison, 11, complete=True))
save({"found": found})
"""


@pytest.mark.parametrize("poison", [Poison(2, side=8), Poison(2, "blend", opacity=0.6), Poison(2, position="random")])
def test_predictions_equal_a_plain_loop(
    poison: Poison,
    data: FakeImages,
    make_classifier: Callable[[int], Classifier],
    make_trainer: Callable[..., pl.Trainer],
) -> None:
    classifier = make_classifier(3)
    module = BackdoorPredictions(classifier, poison, 11, complete=True)
    make_trainer().test(module, datamodule=data, verbose=False)
    triggered, expected = PoisonedImages(data, poison).triggered("test"), []
    for index in range(11):
        clean, label, _ = data.split("test")[index]
        stamped = apply_trigger(clean[None], poison, [index])[0]
        if label != poison.target:
            assert torch.equal(stamped, triggered[index][0])
        predictions = [int(classifier(image[None].float() / 255).argmax()) for image in (clean, stamped)]
        expected.append([label, *predictions])
    assert np.array_equal(module.result, expected)
    assert not module.classifier.training


def test_broken_weights_are_named(
    data: FakeImages, make_classifier: Callable[[int], Classifier], make_trainer: Callable[..., pl.Trainer]
) -> None:
    classifier = make_classifier(3)
    next(classifier.parameters()).data.fill_(float("nan"))
    module = BackdoorPredictions(classifier, Poison(2, side=8), 11, complete=True)
    with pytest.raises(ValueError, match="the output of the classifier is not finite for image 0"):
        make_trainer().test(module, datamodule=data, verbose=False)


@pytest.mark.slow
def test_two_ranks_give_the_same_predictions(on_one_and_two_ranks: Any) -> None:
    one, first, second = on_one_and_two_ranks(ON_RANKS)
    assert one["found"].shape == (11, 3)
    assert np.array_equal(one["found"], first["found"])
    assert np.array_equal(first["found"], second["found"])
