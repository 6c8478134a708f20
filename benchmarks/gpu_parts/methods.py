"""Part ``methods``: evaluation and the further methods at the sizes that papers have, and reading image files."""

import copy
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from benchmarks.gpu_parts.comparison import Batches
from benchmarks.gpu_parts.pictures import TEN, make_tree
from benchmarks.gpu_parts.record import Numbers, Options, Recorder
from benchmarks.gpu_parts.steps import BATCH, SIZE, autoencoder_of, names_of
from benchmarks.throughput import Setting, batch_of, half_precision, network, prepared, timed

VALIDATION = 50_000  # images of ImageNet
NMI_BINS = 256
CLASSES = 1000
ITERATIONS = 200  # of a synthesis, the default
FEWEST_TIMED = 2
LAYERS = 3


def measure(recorder: Recorder) -> None:
    """Evaluation first, then what takes a study longest."""
    from study.lightning_fixes import quiet_lightning

    quiet_lightning()
    options = recorder.options
    count = len(names_of(options.tiny))
    works: dict[str, tuple[Callable[[Options], Numbers], float]] = {
        f"cross evaluation, {count + 1} autoencoders × {count}": (partial(cross_evaluation, with_start=True), 10.0),
        f"cross evaluation, {count} autoencoders × {count}": (partial(cross_evaluation, with_start=False), 10.0),
        "decoding": (decoding, 20.0),
        "concepts, one pass": (concepts, 10.0),
        "layer features": (layer_features, 15.0),
        "class patterns": (class_patterns, 10.0),
        "PGD": (pgd, 5.0),
    }
    for name, (work, seconds) in works.items():
        recorder.attempt(name, partial(work, options), 1.0 if options.tiny else seconds)


def setting_of(options: Options, size: int = SIZE, precision: str = "bf16") -> Setting:
    """The usual setting."""
    return Setting(options.device, 2 if options.tiny else BATCH, 32 if options.tiny else size, precision, True)


def cross_evaluation(options: Options, with_start: bool) -> Numbers:
    """The A_i of every classifier, by every classifier, on images in memory; encoders are shared.

    Args:
        options: What the part was told.
        with_start: Whether A_S is evaluated, too.
    """
    from lightning_modules import cross_evaluation as evaluation
    from metrics.nmi import normalized_mutual_information

    setting = setting_of(options)
    names = names_of(options.tiny)
    base = autoencoder_of(options.tiny)
    rows = [*(["pretrained"] if with_start else []), *names]
    autoencoders = {name: prepared(copy.deepcopy(base), setting) for name in rows}
    classifiers = {name: prepared(network(name), setting) for name in names}
    module = evaluation.CrossEvaluation(autoencoders, classifiers, setting.batch, NMI_BINS).to(options.device)
    images, labels = batch_of(setting)
    index, device = torch.arange(setting.batch, device=options.device), images.device
    shown, pairs = images.clone(), torch.arange(0, setting.batch, 2, device=options.device)

    def step() -> None:
        with torch.inference_mode(), half_precision(device, setting.precision):
            module.test_step((images, labels, index), 0)

    def only_nmi() -> None:
        for _ in module.rows:
            normalized_mutual_information(images, shown, bins=NMI_BINS)
            normalized_mutual_information(images[pairs], images[pairs + 1], bins=NMI_BINS)

    for work in (step, only_nmi):
        work()
    seconds, of_nmi = (min(timed(work, device) for _ in range(3)) for work in (step, only_nmi))
    rate = setting.batch / seconds
    return {"images/s": rate, f"s for {VALIDATION:,} images": VALIDATION / rate, "share of nMI": of_nmi / seconds}


def decoding(options: Options) -> Numbers:
    """JPEGs that the loading processes read, resize and crop in a second, one process for each core."""
    from datamodules import ImageFolder

    workers = 1 if options.tiny else os.cpu_count() or 1
    count = 4 if options.tiny else 800
    root = Path(options.folder) / "decoded"
    make_tree(root, TEN, {"train": 1, "val": count}, 500, 375, options.seed)
    data = ImageFolder(
        str(root), class_list="folders", classes=None, per_class=None, expect=None, upright=False, size=SIZE,
        resize=SIZE, on_error="raise", cache=None, batch_size=4 if options.tiny else BATCH, seed=options.seed,
        workers=workers, augmentation="crop_flip",
    )  # fmt: skip
    total, seen, start, before = count * len(TEN), 0, time.perf_counter(), 0
    for images, _, _ in data.test_dataloader():
        seen += len(images)
        if before == 0 and seen >= total / 4:  # by then every process works, and what was read ahead is used up
            before, start = seen, time.perf_counter()
    rate = (total - before) / (time.perf_counter() - start)
    return {"processes": workers, "images/s": rate, "images/s of a process": rate / workers}


def concepts(options: Options) -> Numbers:
    """A pass of the coupled factorisation over a chunk that is copied to the device again and again."""
    from methods.concepts.blocks import Blocks
    from methods.concepts.factorization import CoupledFactorization
    from methods.concepts.hals import NO_PENALTIES

    rows, widths, k, chunk = (200, (30, 20), 3, 64) if options.tiny else (VALIDATION, (3072, 13056), 100, 1024)
    parts = [torch.rand(chunk, width) for width in widths]
    scale = rows / chunk
    squares, sums = ([scale * float(part.pow(power).sum()) for part in parts] for power in (2, 1))
    module = CoupledFactorization(
        Blocks(widths, rows, squares, sums, [1 / square for square in squares]), k, penalties=NO_PENALTIES,
        solver="hals", start="random", seed=options.seed, dtype=torch.float32,
    )  # fmt: skip
    device = torch.device(options.device)
    module.to(device)

    def one_pass() -> None:
        module.begin_pass()
        for numbers in torch.arange(rows).split(chunk):
            module.add(numbers, [part[: len(numbers)] for part in parts])
        module.end_pass()

    one_pass()
    return {"images": rows, "columns": sum(widths), "concepts": k, "s per pass": timed(one_pass, device)}


class Stopwatch(Callback):
    """Notes when each training batch ends.

    Args:
        device: The device that is waited for.
    """

    def __init__(self, device: str) -> None:
        self.device, self.ends = device, list[float]()

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time, after everything on the device is done."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def step(self) -> float:
        """Mean seconds of a step, without the first, which also loads libraries."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def fitted_step(options: Options, module: pl.LightningModule, data: Any = None, precision: str = "32-true") -> float:
    """Seconds of a step of a module in a trainer."""
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    watch = Stopwatch(options.device)
    accelerator: Any = "gpu" if options.device == "cuda" else "cpu"
    trainer = pl.Trainer(
        accelerator=accelerator, devices=1, precision=precision, max_epochs=1, logger=False,  # type: ignore[arg-type]
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False, callbacks=[watch],
        use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return watch.step()


def layer_features(options: Options) -> Numbers:
    """Images for the last stages of ResNet-152 at 512 pixels, as many steps as show the usual mixture of them."""
    from dataclasses import replace

    from methods.layer_features.layer_inputs import last_convolution, last_of_stages
    from methods.layer_features.networks import WithoutResizing
    from methods.layer_features.settings import LayerFeatures
    from methods.layer_features.synthesis import FeatureSynthesis
    from methods.layer_features.targets import find_layer_targets, layer_activations
    from networks.activations import list_layers, recorded

    name, size, count, steps = ("squeezenet1_1", 64, 4, 3) if options.tiny else ("resnet152", 512, 32, 11)
    settings = replace(LayerFeatures(), iterations=steps, clusters=2 if options.tiny else 4)
    classifier = prepared(network(name), Setting("cpu", 1, size, "fp32", True))
    examined, probe = WithoutResizing(classifier, swapped=False).eval(), torch.zeros(1, 3, 128, 128)
    listed = [layer for layer in list_layers(examined, probe) if layer.name.startswith("network.")]
    layers = {layer: last_convolution(examined, layer, probe) for layer in last_of_stages(listed, LAYERS)}
    pixels = torch.randint(256, (count, 3, size, size), dtype=torch.uint8)
    activations = layer_activations(examined, layers, pixels, torch.device(options.device), chunk=8)
    targets = [find_layer_targets(layer, layers[layer], activations[layer], settings, seed=0) for layer in layers]
    starts = torch.cat([part.blends(pixels).repeat(3, 1, 1, 1) for part in targets])
    with recorded(examined, [*layers, *layers.values()]) as read:
        module = FeatureSynthesis(examined, read, targets, starts, settings, seed=0, kept=[])
        seconds = fitted_step(options, module, precision="bf16-mixed")
    return {
        "images": len(starts),
        "s per step": seconds,
        f"s per image of {ITERATIONS} steps": ITERATIONS * seconds / len(starts),
        "memory, GiB": peak_memory(options),
    }


def class_patterns(options: Options) -> Numbers:
    """A step of the search for the patterns of 1,000 classes, on one image."""
    from methods.class_patterns.search_module import PatternSearch

    setting = setting_of(options, 224, "fp32")
    classes, name = (4, "squeezenet1_1") if options.tiny else (CLASSES, "resnet50")
    canvases = torch.randint(256, (classes, 3, setting.size, setting.size), dtype=torch.uint8)
    classifier = prepared(network(name), Setting("cpu", 1, setting.size, "fp32", True))
    module = PatternSearch(
        classifier, canvases, torch.arange(classes), torch.zeros(classes, dtype=torch.bool), optimizer="adam", step=0.3,
        averaged=0.25, alpha=0.2, chunk=4 if options.tiny else 256,
    )  # fmt: skip
    image: tuple[Tensor, ...] = (torch.rand(1, 3, setting.size, setting.size), torch.tensor([0]), torch.tensor([0]))
    batch = (*image, torch.ones(1, CLASSES, dtype=torch.bool))
    seconds = fitted_step(options, module, Batches([batch] * (1 + FEWEST_TIMED)), "bf16-mixed")
    passes = classes - 1  # an image takes no part in the search for its own class
    return {"classes": classes, "steps/s with one image": 1 / seconds, "passes/s": passes / seconds,
            "memory, GiB": peak_memory(options)}  # fmt: skip


def pgd(options: Options) -> Numbers:
    """Steps of an attack on a classifier in float32, as evaluations run it."""
    from networks.attacks import PgdAttack

    setting, steps = setting_of(options, 224, "fp32"), 1 if options.tiny else 10
    classifier = prepared(network("squeezenet1_1" if options.tiny else "resnet50"), setting)
    images, labels = batch_of(setting)
    attack = PgdAttack("linf", 8 / 255, steps, 2.5, True)
    work = partial(attack.run, classifier, images, labels, keep="last")
    work()
    seconds = timed(work, images.device)
    return {"batch": setting.batch, "steps/s": steps / seconds, "images/s of a step": setting.batch * steps / seconds}


def peak_memory(options: Options) -> float | None:
    """Largest memory of tensors since the last :func:`fitted_step`, in GiB."""
    return torch.cuda.max_memory_allocated() / 2**30 if options.device == "cuda" else None
