"""Training of compressed classifiers: pruned weights stay pruned, and students learn from soft answers."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from datamodules import FakeImages
from lightning_modules.distillation import Distillation, distillation_loss
from lightning_modules.pruning import PrunedTraining
from networks.classifier import Classifier
from networks.compression import prune, sparsity

Make = Callable[[int], Classifier]


def test_loss_written_out() -> None:
    torch.manual_seed(0)
    student, teacher, labels = torch.randn(3, 4), torch.randn(3, 4), torch.tensor([0, 3, 1])
    t, alpha, total = 4.0, 0.7, 0.0
    for s, q, label in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        soft = [[math.exp(v / t) / sum(math.exp(w / t) for w in values) for v in values] for values in (s, q)]
        divergence = sum(q_ * math.log(q_ / s_) for s_, q_ in zip(*soft, strict=True))
        cross_entropy = -math.log(math.exp(s[label]) / sum(math.exp(v) for v in s))
        total += (alpha * t**2 * divergence + (1 - alpha) * cross_entropy) / 3
    assert float(distillation_loss(student, teacher, labels, t, alpha)) == pytest.approx(total, rel=1e-5)


def test_high_temperatures_match_logits() -> None:
    """The paper's limit: gradients of (s - t) / (N classes), for logits of zero mean (section 2.1)."""
    torch.manual_seed(0)
    student, teacher = (x - x.mean(1, keepdim=True) for x in torch.randn(2, 5, 6, dtype=torch.float64))
    student.requires_grad_()
    distillation_loss(student, teacher, torch.zeros(5, dtype=torch.long), 1e4, 1.0).backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 5 / 6, rtol=1e-3, atol=1e-6)


def test_pruned_weights_stay_zero_and_the_others_learn(
    data: FakeImages, make_classifier: Make, make_trainer: Callable[..., pl.Trainer]
) -> None:
    classifier = make_classifier(0)
    share = prune(classifier, 0.8)
    before = {name: weight.detach().clone() for name, weight in classifier.named_parameters()}
    adam: Any = lambda parameters: torch.optim.AdamW(parameters, lr=1e-2)  # noqa: E731
    make_trainer(max_epochs=3).fit(PrunedTraining(classifier, adam, "one_cycle", label_smoothing=0.0), datamodule=data)
    assert sparsity(classifier) == share
    for name in ("network.0.weight", "network.5.weight"):
        after = classifier.get_parameter(name)
        assert torch.equal(after == 0, before[name] == 0)
        assert not torch.equal(after, before[name])


def distillation(teacher: Classifier, student: Classifier, make_optimizer: Any, **options: float) -> Distillation:
    options = {"temperature": 4.0, "alpha": 0.9} | options
    return Distillation(teacher, student, make_optimizer, "one_cycle", **options)


def test_the_teacher_is_frozen_and_not_in_checkpoints(
    data: FakeImages, make_classifier: Make, make_trainer: Callable[..., pl.Trainer], sgd: Any
) -> None:
    teacher, student = make_classifier(1), make_classifier(2)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    module = distillation(teacher, student, sgd)
    assert not [key for key in module.state_dict() if key.startswith("teacher")]
    make_trainer().fit(module, datamodule=data)
    module.train()
    assert not teacher.training
    assert student.training
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"alpha": 1.5}])
def test_impossible_distillation_is_refused(make_classifier: Make, sgd: Any, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="change them"):
        distillation(make_classifier(1), make_classifier(2), sgd, **options)
