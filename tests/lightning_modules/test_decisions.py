"""The decisions of a classifier: against a loop over single images, and over ranks."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lightning_modules.decisions import DecisionMaking
from networks.classifier import Classifier
from networks.compact_classifiers import CompactVGG
from tests.images import fake_images
from tests.small_world import Arrays

MakeTrainer = Callable[..., object]
DECIDED = """
from lightning_modules.decisions import DecisionMaking

result = tested(DecisionMaking(classifiers["a"], 11, list("abcdef")))
save({"predicted": result.predicted, "second": result.second, "confidence": result.confidence})
"""


def test_decisions_are_those_of_single_images(make_trainer: MakeTrainer) -> None:
    data = fake_images(class_count=6, size=32, images=7, batch_size=3)
    classifier = Classifier(CompactVGG(6))
    module = DecisionMaking(classifier, 7, list("abcdef"))
    make_trainer().test(module, datamodule=data, verbose=False)  # type: ignore[attr-defined]
    for index in range(7):
        with torch.no_grad():
            logits = classifier(data.split("test")[index][0][None].float() / 255)[0].double()
        exponentials = np.exp(logits.numpy() - float(logits.max()))
        shares = exponentials / exponentials.sum()
        best = np.argsort(-shares)
        assert (module.result.predicted[index], module.result.second[index]) == (best[0], best[1])
        assert module.result.confidence[index] == pytest.approx(shares[best[0]], rel=1e-5)


@pytest.mark.slow
def test_decisions_are_the_same_on_two_ranks(
    on_one_and_two_ranks: Callable[[str], tuple[Arrays, Arrays, Arrays]],
) -> None:
    one, *two = on_one_and_two_ranks(DECIDED)
    for rank in two:
        for name, array in one.items():
            np.testing.assert_allclose(rank[name], array, rtol=1e-6)
