"""Every LightningModule of the project in small, for the comparison of two devices. Imports are made when needed."""

import functools
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from benchmarks.gpu_parts.comparison import Batches, Case
from networks.classifier import Classifier, calibrate
from networks.compact_classifiers import CompactResNet, CompactVGG
from networks.segnet import SegNet
from tasks.registry import load

CLASSES, SIDE, IMAGES, BATCH = 6, 32, 16, 8
STAGES = ((8, 8), (12, 12))
SEED = 5  # of draws that depend on an image's index
Made = tuple[pl.LightningModule, pl.LightningDataModule | None]
PUBLISHED: dict[str, Any] = {
    "anchor": 0.0, "energy": 0.0, "rate": 0.0, "tolerance": None, "noise": 0.0, "shift": 0, "siblings": (),
    "targets": "labels", "least_confidence": 0.0,
}  # fmt: skip


def drawn_images(count: int = IMAGES) -> tuple[Tensor, Tensor]:
    """Images ``(N, 3, SIDE, SIDE)`` in [0, 1], whole numbers of 255, and labels; a class is a colour and stripes."""
    labels = torch.arange(count) % CLASSES
    colour = torch.rand(CLASSES, 3, 1, 1)[labels]
    across = torch.arange(SIDE) / SIDE
    stripes = 0.5 + 0.5 * torch.sin(6.28 * ((labels[:, None] + 1) * across + torch.rand(count, 1)))
    images = 0.6 * colour * stripes[:, None, None, :] + 0.4 * torch.rand(count, 3, SIDE, SIDE)
    return (images * 255).round() / 255, labels


def batches() -> list[tuple[Tensor, Tensor, Tensor]]:
    """All images in batches ``(images, labels, index)``."""
    images, labels = drawn_images()
    index = torch.arange(IMAGES)
    return list(zip(images.split(BATCH), labels.split(BATCH), index.split(BATCH), strict=True))


def segnet() -> SegNet:
    """A small autoencoder, whose batch-norms have statistics of images."""
    autoencoder = SegNet(STAGES)
    calibrate(autoencoder, drawn_images()[0])
    return autoencoder


def classifier(make: Callable[..., nn.Module] = CompactResNet) -> Classifier:
    """A small classifier, whose batch-norms have statistics of images."""
    network = Classifier(make(CLASSES))
    calibrate(network, drawn_images()[0])
    return network


sgd = functools.partial(torch.optim.SGD, lr=0.01)


def pretraining(_: ExitStack) -> Made:
    """A_S."""
    from lightning_modules.pretraining import Pretraining

    return Pretraining(segnet(), sgd, "constant", "both"), Batches(batches()[:1])


def signal(_: ExitStack, **options: Any) -> Made:
    """A_i, with options of the objective."""
    from lightning_modules.signal_autoencoder import SignalAutoencoder

    siblings = [classifier(CompactVGG)] if options.pop("sibling", False) else []
    arguments = PUBLISHED | {"siblings": siblings} | options
    module = SignalAutoencoder(segnet(), classifier(), sgd, "constant", "decoder", 16, **arguments)
    return module, Batches(batches()[:1])


def classifier_training(_: ExitStack) -> Made:
    """A classifier."""
    from lightning_modules.classifier_training import ClassifierTraining

    return ClassifierTraining(classifier(), sgd, "constant", 0.1), Batches(batches()[:1])


def distillation(_: ExitStack) -> Made:
    """A student and its teacher."""
    from lightning_modules.distillation import Distillation

    student, teacher = classifier(), classifier(CompactVGG)
    return Distillation(teacher, student, sgd, "constant", temperature=4.0, alpha=0.9), Batches(batches()[:1])


def pruned(_: ExitStack) -> Made:
    """A pruned classifier."""
    from lightning_modules.pruning import PrunedTraining
    from networks.compression import prune

    network = classifier()
    prune(network, 0.8)
    return PrunedTraining(network, sgd, "constant", label_smoothing=0.0), Batches(batches()[:1])


def attack(norm: Any = "linf", epsilon: float = 0.03, random_start: bool = False) -> Any:
    """Three steps of PGD."""
    from networks.attacks import PgdAttack

    return PgdAttack(norm, epsilon, 3, 2.5, random_start)


def adversarial(_: ExitStack, random_start: bool = False) -> Made:
    """Training on attacked images."""
    from lightning_modules.adversarial_training import AdversarialTraining

    arguments = (attack("l2", 0.5, random_start), classifier(), sgd, "constant")
    return AdversarialTraining(*arguments, label_smoothing=0.0, seed=SEED), Batches(batches()[:1])


def probe(_: ExitStack) -> Made:
    """A reader of reconstructions; without noise, which is drawn on the device."""
    from lightning_modules.probe import Probe, Readers

    labels = drawn_images()[1]
    targets = dict.fromkeys(("train", "val", "test"), labels[:, None])
    readers = Readers({"one": classifier()})
    module = Probe(segnet(), readers, targets, CLASSES, sgd, "constant", noise=0.0, seed=SEED)  # type: ignore[arg-type]
    return module, Batches(batches()[:1])


def pattern_search(_: ExitStack, optimizer: Any) -> Made:
    """Masks of four classes, one with learned colours."""
    from methods.class_patterns.search_module import PatternSearch

    canvases = torch.randint(256, (4, 3, SIDE, SIDE), dtype=torch.uint8)
    learned = torch.tensor([False, False, False, True]) & torch.tensor(optimizer == "adam")
    module = PatternSearch(
        classifier(), canvases, torch.arange(4), learned, optimizer=optimizer, step=0.1, averaged=0.5, alpha=0.9,
        chunk=7,
    )  # fmt: skip
    images, labels, index = batches()[0]
    return module, Batches([(images, labels, index, torch.ones(len(images), CLASSES, dtype=torch.bool))] * 2)


def band_fit(_: ExitStack) -> Made:
    """A channel with two tolerances, and answers that are computed once."""
    from methods.band_tolerance.fit import BandFit, Stages
    from methods.band_tolerance.transform import BandTransform

    transform = BandTransform("db2", 2)
    variance, mean = torch.full((len(transform.bands), 3), 0.05), torch.tensor([3.5, 0.0, 0.0])
    images = (drawn_images()[0] * 255).round().to(torch.uint8), torch.arange(IMAGES)
    module = BandFit(
        classifier(), transform, variance, mean, (SIDE, SIDE), stages=Stages((0.2, 0.9), 2, 2), targets="decisions",
        start=2.0, lr=0.2, later_lr=0.1, weight=5.0, seed=SEED, chunk=5, images=images,
    )  # fmt: skip
    return module, Batches(batches())


def band_evaluation(_: ExitStack) -> Made:
    """Two classifiers see what passes two channels of different wavelets."""
    from methods.band_tolerance.evaluation import BandEvaluation, Channel
    from methods.band_tolerance.transform import BandTransform

    channels = []
    for wavelet in ("db2", "haar"):
        transform = BandTransform(wavelet, 2)
        shape, mean = (len(transform.bands), 3), torch.tensor([3.5, 0.0, 0.0])
        channels.append(Channel(transform, torch.randn(shape), torch.full(shape, 0.05), mean, (0, 1)))
    kinds = {"a": classifier(), "b": classifier(CompactVGG)}
    return BandEvaluation(kinds, channels, range(IMAGES), complete=True, targets=None, seed=SEED), Batches(batches())


def feature_synthesis(stack: ExitStack) -> Made:
    """Images for two layers."""
    from dataclasses import replace

    from methods.layer_features.layer_inputs import last_convolution
    from methods.layer_features.networks import WithoutResizing
    from methods.layer_features.settings import LayerFeatures
    from methods.layer_features.synthesis import FeatureSynthesis
    from methods.layer_features.targets import find_layer_targets, layer_activations
    from networks.activations import recorded

    settings = replace(LayerFeatures(), iterations=2, clusters=2, components=3, members=3, every=1)
    network = WithoutResizing(classifier(CompactVGG), swapped=False).eval()
    names = [f"network.features.{number}" for number in (1, 4)]
    layers = {name: last_convolution(network, name, torch.zeros(1, 3, SIDE, SIDE)) for name in names}
    pixels = (drawn_images()[0] * 255).to(torch.uint8)
    activations = layer_activations(network, layers, pixels, torch.device("cpu"), chunk=8)
    targets = [find_layer_targets(name, layers[name], activations[name], settings, seed=0) for name in names]
    starts = torch.cat([part.blends(pixels).repeat(3, 1, 1, 1) for part in targets])
    read = stack.enter_context(recorded(network, [*layers, *layers.values()]))
    return FeatureSynthesis(network, read, targets, starts, settings, seed=0, kept=[1, 2]), None


def factorization(_: ExitStack, solver: Any, start: Any) -> Made:
    """Concepts of two blocks."""
    from methods.concepts.blocks import Blocks
    from methods.concepts.factorization import CoupledFactorization
    from methods.concepts.fits import ConceptFactorization
    from methods.concepts.hals import NO_PENALTIES

    blocks = [torch.rand(40, 3) @ torch.rand(3, width) + 0.1 * torch.rand(40, width) for width in (24, 9)]
    squares, sums = ([float(each.double().pow(power).sum()) for each in blocks] for power in (2, 1))
    known = Blocks([24, 9], 40, squares, sums, [1 / square for square in squares])
    module = CoupledFactorization(
        known, 3, penalties=NO_PENALTIES, solver=solver, start=start, seed=0, dtype=torch.float32
    )
    chunks = [(rows, [block[rows] for block in blocks]) for rows in torch.arange(40).split(16)]
    return ConceptFactorization(module, ("a", "b"), tolerance=-1.0), Batches(chunks)


def read_factorization(module: Any) -> dict[str, Any]:
    """Its factors, in their order, and its history."""
    done = module.factorization
    return {"factors": done.block_factors(), "image factor": module.gathered(), "history": done.history}


def evaluated(kind: str, **options: Any) -> Callable[[ExitStack], Made]:
    """A test of two classifiers and three autoencoders."""

    def make(_: ExitStack) -> Made:
        kinds = {"a": classifier(), "b": classifier(CompactVGG)}
        autoencoders = {row: segnet() for row in ("pretrained", "a", "b")}
        return load(kind)(autoencoders, kinds, **options), Batches(batches())

    return make


def robust_accuracy(_: ExitStack) -> Made:
    """A classifier under attack."""
    from lightning_modules.adversarial_training import RobustAccuracy

    return RobustAccuracy(classifier(), attack(random_start=True), SEED), Batches(batches())


def robustness(_: ExitStack) -> Made:
    """Every attack, in two norms."""
    from methods.robustness.module import Robustness, pgd_attacks

    kinds = {"a": classifier(), "b": classifier(CompactVGG)}
    attacks = pgd_attacks({"linf": [0.03], "l2": [0.5]}, 2, 2.5, random_start=True)
    tuned = {name: segnet() for name in kinds}
    return Robustness(kinds, segnet(), tuned, attacks, range(BATCH), seed=SEED), Batches(batches()[:1])


def alone(kind: str, *arguments: Any) -> Callable[[ExitStack], Made]:
    """A test of one classifier."""
    return lambda _: (load(kind)(classifier(), *arguments), Batches(batches()))


def pattern_success(_: ExitStack) -> Made:
    """Hard and soft patterns."""
    from methods.class_patterns.patterns import Planned
    from methods.class_patterns.success import PatternSuccess

    canvas = torch.randint(256, (3, SIDE, SIDE), dtype=torch.uint8)
    masks = (torch.rand(SIDE, SIDE) < 0.2, torch.rand(SIDE, SIDE))
    planned = [Planned(mask, canvas, {"target": target}) for target, mask in enumerate(masks)]
    return PatternSuccess(classifier(), planned, range(IMAGES), complete=True, chunk=10), Batches(batches())


def backdoor(_: ExitStack) -> Made:
    """Images with a trigger at random positions."""
    from datamodules.poison import Poison
    from methods.class_patterns.planted_backdoor import BackdoorPredictions

    poison = Poison(1, side=9, position="random")
    return BackdoorPredictions(classifier(), poison, IMAGES, complete=True), Batches(batches())


def activation_collection(stack: ExitStack) -> Made:
    """Pixels and two layers, in files."""
    from methods.concepts.activation_collection import ActivationCollection

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    layers, widths = ["pixels", "features.3", "head.1"], [3 * SIDE**2, 24, 128]
    paths = [folder / f"{number}.npy" for number in range(3)]
    network = classifier(CompactVGG)
    chosen = range(IMAGES)
    module = ActivationCollection(network, layers, paths, widths, "float32", chosen, "avg", "refuse")
    return module, Batches(batches())


def read_collection(module: Any) -> dict[str, Any]:
    """What it has collected, and the files."""
    import numpy as np

    return {"known": module.result, "blocks": [np.load(path) for path in module.paths]}


def result(module: Any) -> dict[str, Any]:
    """The attribute ``result``."""
    return {"result": module.result}


CASES = (
    Case("Pretraining", pretraining, "fit", output="autoencoder.decoder"),
    Case("SignalAutoencoder", signal, "fit", output="classifier"),
    Case("SignalAutoencoder, all terms that draw nothing",
         functools.partial(signal, anchor=1.0, energy=0.1, sibling=True), "fit", output="classifier"),
    Case("SignalAutoencoder, noise", functools.partial(signal, rate=1e-3, tolerance=2.0, noise=0.1, shift=2), "fit",
         random=True),
    Case("ClassifierTraining", classifier_training, "fit", output="classifier"),
    Case("Distillation", distillation, "fit", output="classifier"),
    Case("PrunedTraining", pruned, "fit", output="classifier"),
    Case("AdversarialTraining", adversarial, "fit", output="classifier", bound=1e-2),
    Case("AdversarialTraining, random start", functools.partial(adversarial, random_start=True), "fit", random=True),
    Case("Probe", probe, "fit", output="reader"),
    Case("PatternSearch, adam", functools.partial(pattern_search, optimizer="adam"), "fit", bound=1e-2,
         read=lambda module: module.patterns()),
    Case("PatternSearch, sign", functools.partial(pattern_search, optimizer="sign"), "fit", bound=None,
         read=lambda module: module.patterns()),
    Case("BandFit", band_fit, "fit", epochs=2, bound=1e-2,
         read=lambda module: {"log ratios": module.log_ratios(), "distortions": module.distortions()}),
    Case("BandEvaluation", band_evaluation, "test", result, unequal=4),
    Case("FeatureSynthesis", feature_synthesis, "fit", bound=1e-2,
         read=lambda module: {"history": torch.stack(module.history), "pictures": module.pictures}),
    Case("ConceptFactorization, hals", functools.partial(factorization, solver="hals", start="nndsvda"), "fit",
         read_factorization, epochs=8, half=False, bound=1e-3),
    Case("ConceptFactorization, published", functools.partial(factorization, solver="published", start="random"), "fit",
         read_factorization, epochs=3, half=False, bound=1e-3),
    Case("CrossEvaluation", evaluated("lightning_modules.cross_evaluation:CrossEvaluation", images=IMAGES,
                                      nmi_bins=64), "test", result, bound=1e-2),
    Case("NoiseCurves", evaluated("lightning_modules.noise_curves:NoiseCurves",
                                  fine_tuned={"a": ["a"], "b": ["b"]}, images=IMAGES, epsilons=[0.0, 0.2], seed=SEED,
                                  clamp=False), "test", result),
    Case("SignalStatistics", evaluated("lightning_modules.signal_statistics:SignalStatistics",
                                       fine_tuned={"a": "a", "b": "b"}, images=IMAGES, size=(SIDE, SIDE),
                                       periods=[2, 2.5], feature_images=5), "test", result, bound=1e-3, unequal=200),
    Case("RobustAccuracy", robust_accuracy, "test"),
    Case("Robustness", robustness, "test", result, unequal=8),
    Case("DecisionMaking", alone("lightning_modules.decisions:DecisionMaking", IMAGES, list("abcdef")), "test", result),
    Case("SignalAutoencoder, decisions", functools.partial(signal, targets="distribution", least_confidence=0.2), "fit",
         output="classifier"),
    Case("NativeAccuracy", alone("lightning_modules.native_accuracy:NativeAccuracy", CLASSES), "test"),
    Case("PatternSuccess", pattern_success, "test", result),
    Case("BackdoorPredictions", backdoor, "test", result),
    Case("ActivationCollection", activation_collection, "test", read_collection, half=False),
)  # fmt: skip
