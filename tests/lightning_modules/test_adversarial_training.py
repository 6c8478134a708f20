"""Adversarial training against its words written out, against plain training, and against what it must not touch."""

import functools
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from callbacks.randomness import SeededBatches
from datamodules import FakeImages
from datamodules.base import ImageDataModule, Split
from datamodules.sampling import Draw
from lightning_modules.adversarial_training import AdversarialTraining, RobustAccuracy, right_under_attack
from networks.attacks import PgdAttack, pgd
from networks.classifier import Classifier, Preprocessing
from networks.compact_classifiers import CompactAlexNet
from networks.norm_balls import Norm
from networks.seeding import image_generators
from tests.images import LOADING, fake_images
from tests.lightning_modules.factories import classifier_training, pgd_attack

MakeTrainer = Callable[..., pl.Trainer]
CLASSES = 6
EPSILONS: dict[Norm, float] = {"linf": 0.03, "l2": 0.4}


pytestmark = pytest.mark.usefixtures("_one_thread")


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def adversarial(
    attack: PgdAttack, classifier: Classifier, make_optimizer: Any, schedule: Any = "one_cycle"
) -> AdversarialTraining:
    return AdversarialTraining(attack, classifier, make_optimizer, schedule, label_smoothing=0.0, seed=0)


def first_batch(data: FakeImages) -> tuple[Tensor, Tensor]:
    images, labels, _ = next(iter(data.train_dataloader()))
    return images.float() / 255, labels


def literally_attacked(classifier: nn.Module, images: Tensor, labels: Tensor, norm: Norm, steps: int) -> Tensor:
    """Madry's words, for a batch: a random start, steps up the loss, each brought back into the ball; the last one."""
    epsilon, made = EPSILONS[norm], []
    if norm == "linf":
        starts = epsilon * (2 * torch.rand(images.shape) - 1)
    else:
        direction = torch.randn(images.shape)
        radii = epsilon * torch.rand(len(images)) ** (1 / images[0].numel())
        starts = torch.stack([radii[n] * direction[n] / direction[n].norm() for n in range(len(images))])
    for image, label, start in zip(images, labels, starts, strict=True):
        current = (image + start).clamp(0, 1)
        for _ in range(steps):
            pixels = current.clone().requires_grad_()
            [gradient] = torch.autograd.grad(F.cross_entropy(classifier(pixels[None]), label[None]), pixels)
            change = (
                current
                - image
                + 2.5 * epsilon / steps * (gradient.sign() if norm == "linf" else gradient / gradient.norm())
            )
            if norm == "linf":
                change = change.clamp(-epsilon, epsilon)
            elif change.norm() > epsilon:
                change = change * epsilon / change.norm()
            current = (image + change).clamp(0, 1)
        made.append(current)
    return torch.stack(made)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_is_an_attack_by_hand_and_then_cross_entropy(
    norm: Norm, data: FakeImages, make_classifier: Callable[[int], Classifier], make_trainer: MakeTrainer, sgd: Any
) -> None:
    classifier = make_classifier(2)
    expected = deepcopy(classifier)
    images, labels = first_batch(data)
    torch.manual_seed(hash((7, 0, 0, 0)) % 2**62)  # as SeededBatches does: random starts first, then dropout
    attacked = literally_attacked(expected.eval(), images, labels, norm, steps=3)
    expected.train()
    optimizer = sgd(expected.parameters())
    optimizer.zero_grad()  # the attack by hand has left gradients of its own
    F.cross_entropy(expected(attacked), labels, label_smoothing=0.1).backward()
    optimizer.step()

    module = AdversarialTraining(
        pgd_attack(norm, EPSILONS[norm], steps=3), classifier, sgd, "constant", label_smoothing=0.1, seed=0
    )
    trainer = make_trainer(limit_train_batches=1, limit_val_batches=0, callbacks=[SeededBatches(7)])
    trainer.fit(module, datamodule=data)
    found = state(module.classifier)
    for name, tensor in state(expected).items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    assert not torch.allclose(attacked, images, atol=0.02)


def test_no_budget_is_plain_training_bit_for_bit(
    data: FakeImages, make_classifier: Callable[[int], Classifier], make_trainer: MakeTrainer, sgd: Any
) -> None:
    made = []
    for attack in (None, pgd_attack("linf", 0.0), pgd_attack("l2", 0.3, steps=2)):
        classifier = make_classifier(2)
        module = classifier_training(classifier, sgd) if attack is None else adversarial(attack, classifier, sgd)
        trainer = make_trainer(max_epochs=3, callbacks=[SeededBatches(1)])
        trainer.fit(module, datamodule=data)
        made.append(state(classifier))
        if attack is not None and not attack.epsilon:
            assert trainer.callback_metrics["val/robust_accuracy"] == trainer.callback_metrics["val/accuracy"]
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not all(torch.equal(made[0][name], made[2][name]) for name in made[0])


def test_the_attack_leaves_batch_norm_modes_and_gradients_alone(
    data: FakeImages, make_classifier: Callable[[int], Classifier], make_trainer: MakeTrainer, sgd: Any
) -> None:
    classifier = make_classifier(2).train()
    before = state(classifier)
    images, labels = first_batch(data)
    attacked = pgd_attack("linf", 0.05).run(classifier, images, labels, keep="last")
    after = state(classifier)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(module.training for module in classifier.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in classifier.parameters())
    assert not attacked.requires_grad
    [norm] = [module for module in classifier.modules() if isinstance(module, nn.BatchNorm2d)]
    seen = int(norm.num_batches_tracked)  # type: ignore[arg-type]
    make_trainer(max_epochs=2).fit(adversarial(pgd_attack("linf", 0.05), classifier, sgd), datamodule=data)
    assert int(norm.num_batches_tracked) == seen + 2 * len(data.train_dataloader())  # type: ignore[arg-type]


class Features(ImageDataModule):
    """One strong pixel that tells the class nine times in ten, and many faint ones that together always tell it."""

    smallest_side = 8

    def __init__(self) -> None:
        super().__init__(**LOADING)
        self.classes = ["dark", "light"]

    def split(self, name: Split) -> Any:
        generator = torch.Generator().manual_seed(len(name))
        labels = torch.arange(320) % 2
        signs = 2 * labels.float() - 1
        agrees = 2 * (torch.rand(320, generator=generator) < 0.9).float() - 1
        images = 0.5 + 0.02 * signs[:, None, None, None] + 0.03 * torch.randn(320, 3, 8, 8, generator=generator)
        images[:, :, 0, 0] = (0.5 + 0.4 * signs * agrees)[:, None]
        return FeatureSplit((images.clamp(0, 1) * 255).round().to(torch.uint8), labels)

    def showcase(self, count: int) -> dict[str, Tensor]:
        return {}


class FeatureSplit(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def label(self, index: int) -> int:
        return int(self.labels[index])

    def __getitem__(self, key: Draw | int) -> tuple[Tensor, int, int]:
        index = key.image if isinstance(key, Draw) else key
        return self.images[index], self.label(index), index


def test_who_trains_against_an_adversary_withstands_it(make_trainer: MakeTrainer) -> None:
    """As arXiv 1805.12152, section 2: a plain network leans on the faint pixels, which a small change turns round."""
    data, attack, found = Features(), pgd_attack("linf", 0.06, steps=3), {}
    for name in ("plain", "adversarial"):
        torch.manual_seed(0)
        linear = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        classifier = Classifier(linear, Preprocessing(size=None, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)))
        adam = functools.partial(torch.optim.Adam, lr=0.02)
        plain = name == "plain"
        module = classifier_training(classifier, adam) if plain else adversarial(attack, classifier, adam)
        trainer = make_trainer(max_epochs=12)
        trainer.fit(module, datamodule=data)
        [found[name]] = trainer.test(RobustAccuracy(classifier, attack, seed=0), datamodule=data, verbose=False)
    assert found["plain"]["test/accuracy"] > 0.95
    assert found["plain"]["test/robust_accuracy"] < 0.3
    assert found["adversarial"]["test/accuracy"] > 0.85
    assert found["adversarial"]["test/robust_accuracy"] > 0.75


def test_predictions_are_those_on_one_image_at_a_time(make_classifier: Callable[[int], Classifier]) -> None:
    torch.manual_seed(5)
    images, index = torch.rand(24, 3, 16, 16), torch.arange(100, 124)
    classifier = make_classifier(3).eval()
    labels = classifier(images).argmax(dim=1)
    labels[::4] = (labels[::4] + 1) % CLASSES  # some that are wrong to begin with
    attack = pgd_attack("linf", 0.01, steps=4)
    clean, robust = right_under_attack(classifier, images, labels, index, attack, seed=9)
    assert clean.tolist() == [place % 4 != 0 for place in range(24)]
    for place in range(24):
        one, label = images[place : place + 1], labels[place : place + 1]
        attacked = pgd(
            classifier, one, label, norm="linf", epsilon=0.01, step=0.00625, steps=4, random_start=True, keep="first",
            generator=image_generators(9, index[place : place + 1]),
        )  # fmt: skip
        assert bool(robust[place]) == bool(clean[place] and classifier(attacked).argmax() == label)
    assert 0 < int(robust.sum()) < int(clean.sum())


@pytest.mark.parametrize("options", [{"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}], ids=str)
def test_accumulation_and_mixed_precision_train_alike(
    options: dict[str, Any], make_trainer: MakeTrainer, sgd: Any
) -> None:
    data = fake_images(class_count=CLASSES, size=32, images=16, batch_size=8)
    changes = []
    for chosen in ({}, options):
        torch.manual_seed(0)
        classifier = Classifier(CompactAlexNet(CLASSES, dropout=0.0))
        before = nn.utils.parameters_to_vector(classifier.parameters()).detach()
        attack = pgd_attack("l2", 0.5, steps=2, random_start=False)
        module = adversarial(attack, classifier, sgd, schedule="constant")
        make_trainer(max_epochs=1, limit_val_batches=0, **chosen).fit(module, datamodule=data)
        changes.append(nn.utils.parameters_to_vector(classifier.parameters()).detach() - before)
    size = float(changes[0].norm())
    assert size > 1e-3
    assert float((changes[1] - changes[0]).norm()) < size * (1e-4 if "accumulate_grad_batches" in options else 0.3)


def test_half_precision_does_not_round_the_attack_away(sgd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = nn.Linear(12, 2)
    nn.init.normal_(linear.weight, std=1e-9)  # gradients that float16 cannot tell from zero
    classifier = Classifier(nn.Sequential(nn.Flatten(), linear))
    module = adversarial(pgd_attack("linf", 0.1, random_start=False), classifier, sgd)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    seen: list[Tensor] = []
    linear.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    images = torch.full((4, 3, 2, 2), 0.5)
    with torch.autocast("cpu", dtype=torch.float16):
        module.training_step((images, torch.tensor([0, 1, 0, 1]), torch.arange(4)), 0)
    shown = seen[-1].reshape(images.shape) * torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    assert torch.allclose((shown + torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) - images).abs(),
                          torch.full_like(images, 0.1), atol=1e-4)  # fmt: skip


TRAINED = """
from lightning_modules.adversarial_training import AdversarialTraining, RobustAccuracy
from networks.compact_classifiers import CompactAlexNet
from tests.lightning_modules.factories import pgd_attack

torch.manual_seed(3)
classifier = Classifier(CompactAlexNet(6, dropout=0.0))
module = AdversarialTraining(
    pgd_attack("l2", 0.5, steps=2, random_start=False), classifier, lambda p: torch.optim.SGD(p, lr=0.1), "constant",
    label_smoothing=0.0, seed=0,
)
options = {
    "accelerator": "cpu", "devices": int(sys.argv[1]), "strategy": "ddp" if sys.argv[1] == "2" else "auto",
    "logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "use_distributed_sampler": False,
    "enable_model_summary": False, "max_epochs": 2,
}
data = fake_images(class_count=6, size=32, images=12, batch_size=4)
trainer = pl.Trainer(**options)
trainer.fit(module, datamodule=data)
weights = torch.nn.utils.parameters_to_vector(classifier.parameters()).detach().numpy()
validated = [float(trainer.callback_metrics[f"val/{name}"]) for name in ("accuracy", "robust_accuracy")]
torch.manual_seed(4)
fresh = RobustAccuracy(Classifier(CompactAlexNet(6)), pgd_attack("linf", 1e-4), seed=2)
with torch.no_grad():
    fresh.classifier.network.head[-1].bias.zero_()
    fresh.classifier.network.head[-1].bias[1] = 0.01
[numbers] = pl.Trainer(**options).test(fresh, datamodule=data, verbose=False)
save({"weights": weights, "validated": validated, "tested": [numbers[key] for key in sorted(numbers)]})
"""


@pytest.mark.slow
def test_two_ranks_train_and_test_as_one(on_one_and_two_ranks: Any) -> None:
    one, first, second = on_one_and_two_ranks(TRAINED)
    for rank in (first, second):
        assert rank["weights"] == pytest.approx(one["weights"], rel=1e-3, abs=1e-5)
        assert rank["validated"] == pytest.approx(one["validated"])
        assert rank["tested"].tolist() == one["tested"].tolist()
    assert (first["weights"] == second["weights"]).all()
