"""Fine-tuning: what is frozen stays as it is, bit for bit; what is trained gets the classifier's gradient."""

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from scipy.stats import kstest  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from datamodules import FakeImages
from lightning_modules.rate_weight import RateWeight
from lightning_modules.signal_autoencoder import disturbed
from networks.classifier import Classifier
from networks.segnet import SegNet
from tests.lightning_modules.factories import PUBLISHED, signal_autoencoder
from tests.replicas import replicates

MakeClassifier = Callable[[int], Classifier]
MakeTrainer = Callable[..., pl.Trainer]


def changed(before: dict[str, Tensor], module: nn.Module) -> set[str]:
    after = module.state_dict()
    return {key for key in before if not torch.equal(before[key], after[key])}


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


@pytest.mark.parametrize("trained", ["decoder", "encoder", "both"])
def test_frozen_parts_stay_bit_identical(
    trained: Any,
    data: FakeImages,
    autoencoder: SegNet,
    make_classifier: MakeClassifier,
    make_trainer: MakeTrainer,
    sgd: Any,
) -> None:
    classifier = make_classifier(2)
    before = [copied(part) for part in (classifier, autoencoder.encoder, autoencoder.decoder)]
    module = signal_autoencoder(autoencoder, classifier, sgd, schedule="constant", trained=trained)
    make_trainer(max_epochs=2).fit(module, datamodule=data)
    parts = (classifier, autoencoder.encoder, autoencoder.decoder)
    of_classifier, of_encoder, of_decoder = (changed(old, part) for old, part in zip(before, parts, strict=True))
    assert not of_classifier
    for part, found, frozen in (
        (autoencoder.encoder, of_encoder, trained == "decoder"),
        (autoencoder.decoder, of_decoder, trained == "encoder"),
    ):
        weights = {key for key, parameter in part.named_parameters() if parameter.ndim > 1}
        assert not found if frozen else weights <= found


def test_frozen_parts_are_in_eval_mode_and_the_decoder_in_training_mode(
    autoencoder: SegNet, make_classifier: MakeClassifier, sgd: Any
) -> None:
    module = signal_autoencoder(autoencoder, make_classifier(2), sgd).train()
    assert not any(part.training for part in module.classifier.modules())
    assert not any(part.training for part in autoencoder.encoder.modules())
    assert all(part.training for part in autoencoder.decoder.modules())
    assert not any(part.training for part in module.eval().modules())


def test_gradients_equal_those_of_plain_torch(
    data: FakeImages, autoencoder: SegNet, make_classifier: MakeClassifier, sgd: Any, make_trainer: MakeTrainer
) -> None:
    plain, classifier = deepcopy(autoencoder), make_classifier(2)
    plain_classifier = deepcopy(classifier).eval()
    module = signal_autoencoder(autoencoder, classifier, sgd).train()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    images, labels, index = next(iter(data.train_dataloader()))
    batch = (images.float() / 255, labels, index)
    module.training_step(batch, 0).backward()
    plain.train()
    plain.encoder.eval()
    logits = plain_classifier(plain(batch[0]))
    picked = logits.log_softmax(dim=1)[torch.arange(len(labels)), labels]
    (-picked.mean()).backward()
    for (name, ours), theirs in zip(autoencoder.decoder.named_parameters(), plain.decoder.parameters(), strict=True):
        assert ours.grad is not None, name
        assert theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6), name
    assert all(parameter.grad is None for parameter in autoencoder.encoder.parameters())
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_checkpoints_and_optimiser_hold_only_what_is_trained(
    data: FakeImages,
    autoencoder: SegNet,
    make_classifier: MakeClassifier,
    make_trainer: MakeTrainer,
    sgd: Any,
    tmp_path: Path,
) -> None:
    start, classifier = deepcopy(autoencoder), make_classifier(2)
    trainer = make_trainer()
    module = signal_autoencoder(autoencoder, classifier, sgd, schedule="one_cycle")
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert {key.split(".")[1] for key in checkpoint["state_dict"] if key.startswith("autoencoder")} == {"decoder"}
    assert not [key for key in checkpoint["state_dict"] if key.startswith("classifier")]
    [optimizer] = trainer.optimizers
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in autoencoder.decoder.parameters()}
    fresh = signal_autoencoder(start, classifier, sgd)
    fresh.load_state_dict(checkpoint["state_dict"], strict=False)
    assert not changed(copied(autoencoder), start)


def training_loss(data: FakeImages, autoencoder: SegNet, classifier: Classifier, sgd: Any, **options: Any) -> Tensor:
    """The loss of the first batch, the random numbers those of seed 5."""
    module = signal_autoencoder(deepcopy(autoencoder), classifier, sgd, **options).train()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    batch = first_batch(data)
    torch.manual_seed(5)
    return module.training_step(batch, 0).detach()


def first_batch(data: FakeImages) -> tuple[Tensor, Tensor, Tensor]:
    images, labels, index = next(iter(data.train_dataloader()))
    return images.float() / 255, labels, index


TERMS = ("anchor", "energy", "rate", "tolerance", "noise", "shift", "siblings", "targets", "least_confidence")


@replicates(*(f"objective/{name}" for name in TERMS))
def literal_objective(
    autoencoder: SegNet, classifiers: list[Classifier], images: Tensor, labels: Tensor, **options: Any
) -> float:
    """The loss of a first step, term by term and image by image; random numbers are drawn in the order of the code."""
    count, (height, width) = len(images), images.shape[-2:]
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    code, switches = autoencoder.encode(images)
    sent = code
    if options["rate"]:
        deviations = torch.rand(count, 1, 1, 1)
        sent = code + deviations * torch.randn(code.shape)
    reconstructions = autoencoder.decode(sent, switches)
    shown, shift = reconstructions, options["shift"]
    if shift:
        down, right = torch.randint(2 * shift + 1, (2,)).tolist()
        shown = torch.zeros_like(reconstructions)
        for y in range(height):
            for x in range(width):
                row, column = min(max(y + down - shift, 0), height - 1), min(max(x + right - shift, 0), width - 1)
                shown[..., y, x] = reconstructions[..., row, column]
    if options["noise"]:
        deviations = options["noise"] * torch.rand(count, 1, 1, 1)
        shown = shown + deviations * torch.randn(shown.shape)
    cross_entropy, decisions = 0.0, classifiers[0](images).double().softmax(dim=1)
    kept = [float(row.max()) >= options["least_confidence"] for row in decisions]
    for classifier in classifiers:
        for n, probabilities in enumerate(classifier(shown).double().softmax(dim=1)):
            decided, classes = decisions[n], probabilities.numel()
            one_class = labels[n] if options["targets"] == "labels" else decided.argmax()
            target = decided if options["targets"] == "distribution" else F.one_hot(one_class, classes).double()
            for wanted, probability in zip(target.tolist(), probabilities.tolist(), strict=True):
                if kept[n] or options["targets"] == "labels":
                    images_that_count = sum(kept) if options["targets"] != "labels" else count
                    cross_entropy -= wanted * math.log(probability) / images_that_count / len(classifiers)
    weight = options["rate"]
    if options["tolerance"] is not None:  # the running mean of one step is that step's
        weight *= max(0.0, 1 - cross_entropy / options["tolerance"])
    nats = sum(float((values.double() ** 2).sum()) / 2 for values in code) / count
    error = float(((reconstructions - images).double() / std).square().mean())
    energy = float(((reconstructions.double() - mean) / std).square().mean())
    return cross_entropy + weight * nats + options["anchor"] * error + options["energy"] * energy


@pytest.mark.parametrize(
    "options",
    [
        {}, {"anchor": 0.7}, {"energy": 0.3}, {"rate": 0.01}, {"rate": 0.01, "tolerance": 3.0},
        {"rate": 0.01, "tolerance": 0.5}, {"noise": 0.2}, {"shift": 2}, {"siblings": 2},
        {"targets": "class"}, {"targets": "distribution"},
        {"targets": "distribution", "least_confidence": 0.2, "siblings": 1},
        {"anchor": 0.7, "energy": 0.3, "rate": 0.01, "tolerance": 4.0, "noise": 0.2, "shift": 1, "siblings": 1},
    ],
    ids=str,
)  # fmt: skip
@torch.no_grad()
def test_the_loss_is_the_literal_one(
    options: dict[str, Any], data: FakeImages, autoencoder: SegNet, make_classifier: MakeClassifier, sgd: Any
) -> None:
    classifiers = [make_classifier(seed).eval() for seed in range(2, 3 + options.get("siblings", 0))]
    chosen = PUBLISHED | options | {"trained": "both", "siblings": classifiers[1:]}
    copy = deepcopy(autoencoder).train()
    module = signal_autoencoder(autoencoder, classifiers[0], sgd, **chosen).train()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    module._trainer = SimpleNamespace(strategy=SimpleNamespace(reduce=lambda loss, reduce_op: loss))  # type: ignore[assignment]
    images, labels, index = first_batch(data)
    torch.manual_seed(5)
    loss = float(module.training_step((images, labels, index), 0))
    torch.manual_seed(5)
    assert loss == pytest.approx(literal_objective(copy, classifiers, images, labels, **chosen), rel=1e-5)


def test_an_anchor_adds_the_error_of_normalised_pixels(
    data: FakeImages, autoencoder: SegNet, make_classifier: MakeClassifier, sgd: Any
) -> None:
    classifier = make_classifier(2)
    plain, anchored = (training_loss(data, autoencoder, classifier, sgd, anchor=weight) for weight in (0.0, 0.7))
    images = first_batch(data)[0]
    copy = deepcopy(autoencoder).train()
    copy.encoder.eval()
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    error = (((copy(images).detach() - images) / std) ** 2).mean()
    assert float(anchored - plain) == pytest.approx(0.7 * float(error), rel=1e-4)


def test_energy_adds_the_mean_square_of_normalised_pixels(
    data: FakeImages, autoencoder: SegNet, make_classifier: MakeClassifier, sgd: Any
) -> None:
    classifier = make_classifier(2)
    plain, quiet = (training_loss(data, autoencoder, classifier, sgd, energy=weight) for weight in (0.0, 0.3))
    copy = deepcopy(autoencoder).train()
    copy.encoder.eval()
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    energy = (((copy(first_batch(data)[0]).detach() - mean) / std) ** 2).mean()
    assert float(quiet - plain) == pytest.approx(0.3 * float(energy), rel=1e-4)


def test_a_rate_adds_the_divergence_from_a_code_without_information(
    data: FakeImages, autoencoder: SegNet, make_classifier: MakeClassifier, sgd: Any
) -> None:
    classifier = make_classifier(2)
    images, labels, _ = first_batch(data)
    losses = [training_loss(data, autoencoder, classifier, sgd, rate=r, trained="both") for r in (0.01, 0.03)]
    copy = deepcopy(autoencoder).train().requires_grad_(False)
    code, switches = copy.encode(images)
    sent, silence = Normal(code, torch.ones_like(code)), Normal(torch.zeros_like(code), torch.ones_like(code))
    nats = kl_divergence(sent, silence).flatten(1).sum(dim=1).mean()
    assert float(losses[1] - losses[0]) == pytest.approx(0.02 * float(nats), rel=1e-3)
    torch.manual_seed(5)
    deviation = torch.rand(len(code), 1, 1, 1)
    logits = classifier.eval()(copy.decode(code + deviation * torch.randn_like(code), switches))
    expected = F.cross_entropy(logits, labels) + 0.01 * nats
    assert float(losses[0]) == pytest.approx(float(expected), rel=1e-4)


@replicates(RateWeight)
def test_the_rate_weight_follows_the_cross_entropy_and_is_in_checkpoints(
    data: FakeImages, autoencoder: SegNet, make_classifier: MakeClassifier, make_trainer: MakeTrainer, sgd: Any
) -> None:
    seen: list[float] = []

    class Recorded(RateWeight):
        def update(self, loss: Tensor) -> None:
            seen.append(float(loss))
            super().update(loss)

    module = signal_autoencoder(autoencoder, make_classifier(2), sgd, trained="both", rate=0.004, tolerance=3.0)
    module.rate_weight = Recorded(0.004, 3.0)
    trainer = make_trainer(max_epochs=3)
    trainer.fit(module, datamodule=data)
    mean = seen[0]
    for loss in seen:
        mean = 0.9 * mean + 0.1 * loss
    weight = 0.004 * max(0.0, 1 - mean / 3.0)
    assert len(seen) == trainer.global_step > 4
    assert 0.0004 < weight < 0.0036
    assert float(module.state_dict()["rate_weight.value"]) == pytest.approx(weight, rel=1e-5)
    assert float(trainer.callback_metrics["train/rate_weight"]) == pytest.approx(weight, rel=0.1)
    another = signal_autoencoder(autoencoder, make_classifier(2), sgd, trained="both", rate=0.1, tolerance=3.0)
    another.load_state_dict(module.state_dict(), strict=False)
    assert torch.equal(another.state_dict()["rate_weight.value"], module.state_dict()["rate_weight.value"])


RATE_WEIGHT_ON_RANKS = """
import functools

from tests.lightning_modules.factories import signal_autoencoder

sgd = functools.partial(torch.optim.SGD, lr=0.1)
module = signal_autoencoder(autoencoders["a"], classifiers["a"], sgd, trained="both", rate=0.01, tolerance=4.0)
trainer = make_trainer(max_epochs=3, limit_val_batches=0)
own, heard = [], []
reduce, update = trainer.strategy.reduce, module.rate_weight.update
trainer.strategy.reduce = lambda value, *args, **options: (own.append(float(value)), reduce(value, *args, **options))[1]
module.rate_weight.update = lambda loss: (heard.append(float(loss)), own.insert(0, own.pop()), update(loss))[2]
trainer.fit(module, datamodule=data)
save({"own": own[len(heard) - 1 :: -1], "heard": heard, "weight": float(module.rate_weight.value)})
"""


@pytest.mark.slow
def test_the_rate_weight_of_all_ranks_follows_their_mean_loss(on_one_and_two_ranks: Any) -> None:
    one, first, second = on_one_and_two_ranks(RATE_WEIGHT_ON_RANKS)
    assert len(one["heard"]) == len(first["heard"]) == 6
    assert np.array_equal(one["heard"], one["own"])
    assert not np.allclose(first["own"], second["own"], rtol=1e-3)
    for rank in (first, second):
        np.testing.assert_allclose(rank["heard"], (first["own"] + second["own"]) / 2, rtol=1e-6)
        assert rank["weight"] == first["weight"]
    assert 0 < first["weight"] < 0.01


def test_a_tolerance_needs_a_rate(autoencoder: SegNet, make_classifier: MakeClassifier, sgd: Any) -> None:
    with pytest.raises(ValueError, match=r"finetune.tolerance=0.1 needs a weight to lower: set finetune.rate"):
        signal_autoencoder(autoencoder, make_classifier(2), sgd, trained="both", tolerance=0.1)


def test_siblings_share_the_loss_and_stay_frozen(
    data: FakeImages, autoencoder: SegNet, make_classifier: MakeClassifier, make_trainer: MakeTrainer, sgd: Any
) -> None:
    networks = [make_classifier(seed) for seed in (2, 3, 4)]
    alone = [float(training_loss(data, autoencoder, network, sgd)) for network in networks]
    together = training_loss(data, autoencoder, networks[0], sgd, siblings=networks[1:])
    assert float(together) == pytest.approx(sum(alone) / 3, rel=1e-5)
    before = [copied(network) for network in networks]
    module = signal_autoencoder(autoencoder, networks[0], sgd, schedule="constant", siblings=networks[1:])
    make_trainer().fit(module, datamodule=data)
    assert not any(changed(old, network) for old, network in zip(before, networks, strict=True))
    assert not [key for key in module.state_dict() if key.startswith(("classifier", "siblings"))]


def test_noise_and_shifts_are_between_autoencoder_and_classifier_and_in_training_only(
    data: FakeImages, autoencoder: SegNet, make_classifier: MakeClassifier, sgd: Any
) -> None:
    classifier = make_classifier(2)
    plain = training_loss(data, autoencoder, classifier, sgd)
    for options in ({"noise": 0.2}, {"shift": 2}):
        once, again = (training_loss(data, autoencoder, classifier, sgd, **options) for _ in range(2))
        assert torch.equal(once, again)
        assert not torch.equal(once, plain)
    images = torch.rand(2, 3, 6, 8)
    assert torch.equal(disturbed(images, 0.0, 0), images)
    many = torch.rand(400, 3, 12, 12)
    deviations = (disturbed(many, 0.1, 0) - many).flatten(1).std(dim=1)
    assert kstest(deviations.numpy(), "uniform", args=(0, 0.1)).pvalue > 0.01
    moved = {tuple(disturbed(images, 0.0, 1).flatten().tolist()) for _ in range(60)}
    rows, columns = torch.arange(-1, 9).clamp(0, 5), torch.arange(-1, 11).clamp(0, 7)
    expected = {
        tuple(images[..., rows[down : down + 6], :][..., columns[right : right + 8]].flatten().tolist())
        for down in range(3)
        for right in range(3)
    }
    assert moved == expected
