"""Part ``agreement``: every module, metric and network on the device, compared with the CPU.

The reference is always float32 on the CPU. On the device: float32 without TF32, which must agree; then float32 with
TF32 in convolutions (PyTorch's default), bf16-mixed and 16-mixed, which drift. In half precision, networks have
channels last, as ``trainer=gpu`` has it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_parts import cases
from benchmarks.gpu_parts.cases import CASES, IMAGES, SIDE, drawn_images
from benchmarks.gpu_parts.comparison import (
    KINDS,
    Case,
    Collected,
    Mode,
    apart,
    collect,
    is_finite,
    largest,
    on_cpu,
    tensors_of,
)
from benchmarks.gpu_parts.comparison import largest_difference as difference
from benchmarks.gpu_parts.record import Numbers, Recorder
from benchmarks.throughput import NAMES, network
from networks.classifier import Classifier, freeze
from networks.segnet import SegNet

CLOSE = 1e-5  # relative difference of a metric's value; some are computed in float32
AT_EDGES = 20  # values at the edge of a bin of colours, which rounding may move
TRAINED_IMAGES, TRAINED_STEPS = 96, 40  # of the tiny study, on the CPU
Computation = Callable[[torch.device], Any]


def measure(recorder: Recorder) -> None:
    """Compare in the order of importance: what decides numbers of a study first."""
    from study.lightning_fixes import quiet_lightning

    quiet_lightning()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    options = recorder.options
    recorder.attempt("nMI and its counts", functools.partial(nmi, options.device))
    recorder.attempt("relative rates of change and order of a tiny study", functools.partial(tiny_study, options))
    for name, compute in METRICS.items():
        recorder.attempt(f"metric {name}", functools.partial(compare, compute, options.device))
    references: dict[str, Collected] = {}
    modes = {"": Mode(options.device), "bf16-mixed": Mode(options.device, "bf16-mixed")}
    if options.device == "cuda":
        modes |= {"TF32": Mode("cuda", tf32=True), "16-mixed": Mode("cuda", "16-mixed")}
    for label, mode in modes.items():
        for case in CASES:
            if label in ("", "TF32") or case.half:
                name = f"{case.name}, {label}" if label else case.name
                exact = not label
                recorder.attempt(name, functools.partial(agreement, case, mode, options.seed, references, exact))
    names = ("resnet50",) if options.tiny else NAMES
    size = 64 if options.tiny else 256
    for name in ("autoencoder", *names):
        recorder.attempt(f"{name}, {size} pixels", functools.partial(real_network, name, size, options.device))


def agreement(case: Case, mode: Mode, seed: int, references: dict[str, Collected], exact: bool) -> Numbers:
    """How far a case on the device is from the CPU.

    Args:
        case: The case.
        mode: How it is computed on the device.
        seed: Of weights and images.
        references: Keeps what the CPU has computed.
        exact: Whether the two should agree; otherwise they drift.

    Raises:
        ValueError: If a loss, gradient or weight is not finite, but for gradients in float16, of which the first ones
            may overflow until the loss is scaled.
    """
    if case.name not in references:
        references[case.name] = collect(case, Mode("cpu"), seed)
    other = collect(case, mode, seed)
    if not is_finite(other if mode.precision != "16-mixed" else other | {"gradients": {}}):
        raise ValueError(f"{case.name} on {mode.device} in {mode.precision}: a loss, gradient or weight is not finite")
    if case.random:
        return {"finite": True}
    found = apart(references[case.name], other)
    if exact and case.bound is not None:
        worst = max((found[kind] for kind in KINDS if found[kind] is not None), default=0.0)
        found["as expected"] = worst <= case.bound and (found["unequal"] or 0) <= case.unequal
    return found


def compare(compute: Computation, device: str) -> Numbers:
    """How far the results of a function on the device are from those on the CPU."""
    one, two = (on_cpu(tensors_of(compute(torch.device(name)))) for name in ("cpu", device))
    found = apart(*({kind: {} for kind in ("outputs", "loss", "gradients", "weights")} | {"results": part}
                    for part in (one, two)))  # fmt: skip
    near = (found["results"] or 0.0) <= CLOSE and (found["unequal"] or 0) <= AT_EDGES
    return {"results": found["results"], "unequal": found["unequal"], "as expected": near}


def pairs() -> tuple[Tensor, Tensor]:
    """Images, and others that share some of their information; the same in every call."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        images, _ = drawn_images()
        return images, (0.7 * images + 0.3 * torch.rand_like(images)).clamp(0, 1)


def nmi(device: str) -> Numbers:
    """Whether the counts of joint histograms are equal, for every option, and the largest difference of the nMI."""
    from metrics.nmi import joint_histogram, normalized_mutual_information

    images, others = pairs()
    equal, furthest = True, 0.0
    for channels in ("flatten", "grey", "separate"):
        for quantisation in ("uint8", "float"):
            for bins in (16, 256):
                counts = [
                    joint_histogram(images.to(place), others.to(place), bins, quantisation, channels).cpu()
                    for place in ("cpu", device)
                ]
                values = [
                    normalized_mutual_information(
                        images.to(place), others.to(place), bins=bins, channels=channels, quantisation=quantisation
                    ).cpu()
                    for place in ("cpu", device)
                ]  # fmt: skip
                equal &= bool(torch.equal(*counts))
                furthest = max(furthest, largest(values[0] - values[1]))
    return {"counts equal": equal, "results": furthest, "as expected": equal and furthest <= 1e-12}


def metric(make: Callable[[], Any], pair: bool = False) -> Computation:
    """Two updates of a metric, and its value."""

    def compute(device: torch.device) -> Any:
        images, others = (part.to(device) for part in pairs())
        made = make().to(device)
        for half in (slice(0, IMAGES // 2), slice(IMAGES // 2, IMAGES)):
            made.update(*((images[half], others[half]) if pair else (images[half],)))
        return made.compute()

    return compute


def per_image(device: torch.device) -> Any:
    """Values of three types, in another order."""
    from metrics.per_image import PerImage

    values = []
    for dtype in (torch.uint8, torch.int64, torch.float64):
        made = PerImage(IMAGES, (2,), dtype, complete=True).to(device)
        numbers = torch.arange(2 * IMAGES, device=device).reshape(IMAGES, 2).to(dtype)
        made.update(numbers, torch.arange(IMAGES, device=device).flip(0))
        values.append(made.compute())
    return values


def moved(device: torch.device) -> Any:
    """The augmentation of pre-training without its noise, which the device draws."""
    from datamodules.augmentation import move, recolour

    images, _ = pairs()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        draws = torch.rand(IMAGES, 11)
    draws[:, -1] = 0.0
    there = move(images.to(device), draws)
    return [recolour(image, draw.tolist(), 0) for image, draw in zip(there, draws[:, 4:], strict=True)]


def lab(device: torch.device) -> Any:
    """Colours, as floats: counts at the edge of a bin may differ by rounding."""
    from metrics.lab import rgb_to_lab

    return rgb_to_lab(pairs()[0].to(device).double())


def metric_named(name: str, *arguments: Any, pair: bool = False, **options: Any) -> Computation:
    """A metric of this project, imported when it is computed."""
    module, _, kind = name.partition(":")

    def compute(device: torch.device) -> Any:
        import importlib

        made = functools.partial(getattr(importlib.import_module(module), kind), *arguments, **options)
        return metric(made, pair)(device)

    return compute


METRICS: Mapping[str, Computation] = {
    "NormalizedMutualInformation": metric_named("metrics.nmi:NormalizedMutualInformation", bins=64, pair=True),
    "PerImage": per_image,
    "LabHistogram": metric_named("metrics.lab:LabHistogram", bins=64),
    "RadialSpectrum": metric_named("metrics.spectrum:RadialSpectrum", SIDE // 2),
    "Checkerboard": metric_named("metrics.spectrum:Checkerboard", [2, 2.5, 4], (SIDE, SIDE)),
    "rgb_to_lab": lab,
    "augmentation without noise": moved,
}


def tiny_study(options: Any) -> Numbers:
    """Whether a study's predictions, relative rates of change and order are the same on both devices.

    Two classifiers and their autoencoders are trained for some steps on the CPU; the devices evaluate the same weights.
    """
    import numpy as np
    import pandas as pd

    from lightning_modules.cross_evaluation import CrossEvaluation
    from stats.order import order_document

    torch.manual_seed(options.seed)
    images, labels = drawn_images(TRAINED_IMAGES)
    kinds = {"a": cases.classifier(), "b": cases.classifier(cases.CompactVGG)}
    autoencoders = {name: trained(cases.segnet(), kinds[name], images, labels) for name in kinds}
    index = torch.arange(TRAINED_IMAGES)
    batches = list(zip(images.split(16), labels.split(16), index.split(16), strict=True))

    def make(_: Any) -> Any:
        module = CrossEvaluation(autoencoders, kinds, TRAINED_IMAGES, 64)
        return module, cases.Batches(batches)

    case = Case("tiny study", make, "test", cases.result)
    predicted, documents = [], []
    for device in ("cpu", options.device):
        found = collect(case, Mode(device), options.seed)["results"]
        predicted.append(found["result.predicted"])
        right = (predicted[-1] == found["result.labels"][:, None]).numpy()
        accuracy = pd.DataFrame(np.mean(right[:, 1:], axis=0), index=list(kinds), columns=list(kinds))
        documents.append(order_document(accuracy))
    equal = documents[0] == documents[1]
    unequal = int((predicted[0] != predicted[1]).sum())
    rates = [value for row in documents[0]["rrc"].values() for value in row.values()]
    return {"unequal": unequal, "order equal": equal, "lowest rate": min(rates), "as expected": equal and not unequal}


def trained(autoencoder: SegNet, classifier: Classifier, images: Tensor, labels: Tensor) -> SegNet:
    """An autoencoder that a classifier, trained first, can classify; both on the CPU."""
    for model, parameters in (
        (classifier, classifier),
        (torch.nn.Sequential(autoencoder, classifier), autoencoder),
    ):
        optimizer = torch.optim.Adam(parameters.parameters(), 3e-3)
        parameters.train()
        for step in range(TRAINED_STEPS):
            chosen = slice(16 * step % TRAINED_IMAGES, 16 * step % TRAINED_IMAGES + 16)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
        freeze(parameters)
    return autoencoder


def real_network(name: str, size: int, device: str) -> Numbers:
    """Outputs of a network of real size, with random weights, in float32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    module: Any = freeze(SegNet() if name == "autoencoder" else network(name))
    images = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        one = module(images).double()
        two = module.to(device)(images.to(device)).cpu().double()
    # a maximum of two nearly equal values may be another one, which moves a pixel: so also the mean square
    squares = float((one - two).square().mean().sqrt() / one.square().mean().sqrt())
    worst = difference({"": one}, {"": two})
    return {"outputs": worst, "outputs, root mean square": squares, "as expected": squares <= 1e-4}
