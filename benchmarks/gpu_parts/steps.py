"""Parts ``throughput`` and ``compiled``: steps of training at real size, with the rates that can be reached."""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.gpu_parts.record import Numbers, Recorder, release_memory
from benchmarks.throughput import (
    NAMES,
    TYPES,
    Setting,
    batch_of,
    finetuning_step,
    matmul_peak,
    measured,
    network,
    prepared,
    pretraining_step,
    timed,
)
from networks.segnet import CompactSegNet, SegNet

# images per second by counted operations and the GPU's peak, for an H200 and images of 224 pixels
ROOFLINE = {"alexnet": 6335, "vgg16": 4300, "resnet50": 5716, "inception_v3": 3351}
PRETRAIN = "pre-train"
BATCHES = (32, 128, 256, 512)
BATCH, SIZE, ROOFLINE_SIZE = 64, 256, 224
COMPILATION = 25.0  # seconds that a compilation is expected to take
Step = Callable[[], None]


def names_of(tiny: bool) -> tuple[str, ...]:
    """The classifiers that autoencoders are fine-tuned through."""
    return ("squeezenet1_1",) if tiny else NAMES


def autoencoder_of(tiny: bool) -> SegNet:
    """The autoencoder of the paper, or a small one."""
    return CompactSegNet() if tiny else SegNet()


def measure(recorder: Recorder) -> None:
    """The step of each classifier first, then other batches and settings."""
    options = recorder.options
    steps = Steps(recorder)
    usual = Setting(options.device, 2 if options.tiny else BATCH, 32 if options.tiny else SIZE, "bf16", True)
    names = names_of(options.tiny)
    for name in (*names, PRETRAIN):
        steps.add(name, usual)
    for name in names:
        steps.add(name, Setting(usual.device, usual.batch, 48 if options.tiny else ROOFLINE_SIZE, "bf16", True))
    for batch in (4,) if options.tiny else BATCHES:
        for name in (*names, PRETRAIN):
            steps.add(name, Setting(usual.device, batch, usual.size, "bf16", True))
    for name in names[:1] if options.tiny else ("resnet50", PRETRAIN):
        steps.add(name, Setting(usual.device, usual.batch, usual.size, "bf16", False), "channels first")
        steps.add(name, Setting(usual.device, usual.batch, usual.size, "fp32", True), "float32 with TF32")
        if options.device == "cuda":
            steps.add(name, Setting(usual.device, usual.batch, usual.size, "fp16", True), "float16")
            torch.backends.cudnn.benchmark = True
            steps.add(name, usual, "cudnn.benchmark")
            torch.backends.cudnn.benchmark = False
    recorder.attempt(f"augmentation of pre-training, batch {usual.batch}", partial(augmentation, usual))


def measure_compiled(recorder: Recorder) -> None:
    """Compiled steps, of the slowest classifiers first."""
    options = recorder.options
    steps = Steps(recorder)
    names = names_of(True) if options.tiny else ("resnet50", PRETRAIN, "vgg16", "inception_v3", "alexnet")
    for name in names:
        setting = Setting(
            options.device, 2 if options.tiny else BATCH, 32 if options.tiny else SIZE, "bf16", True, compile=True,
            backend="eager" if options.tiny else "inductor",
        )  # fmt: skip
        steps.add(name, setting, "compiled", COMPILATION if options.device == "cuda" else 1.0)


class Steps:
    """Measures steps with peaks that are measured in the same process.

    Args:
        recorder: Keeps the measurements.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.peaks: dict[str, float] = {}
        torch.backends.cuda.matmul.allow_tf32 = True  # as convolutions do by default

    def add(self, name: str, setting: Setting, label: str = "", seconds: float = 2.0) -> None:
        """Measure a step.

        Args:
            name: A classifier that is fine-tuned through, or ``PRETRAIN``.
            setting: How it is computed.
            label: What is unusual in the setting; ``""``: nothing.
            seconds: Expected time.
        """
        what = PRETRAIN if name == PRETRAIN else f"fine-tune through {name}"
        parts = [what, f"{setting.size} pixels", f"batch {setting.batch}", *([label] if label else [])]
        self.recorder.attempt(", ".join(parts), partial(self.measure, name, setting), seconds)

    def measure(self, name: str, setting: Setting) -> Numbers:
        """The rate of a step, its share of the peak, and its memory."""
        tiny, cuda = self.recorder.options.tiny, setting.device == "cuda"
        torch.manual_seed(self.recorder.options.seed)
        torch._dynamo.reset()
        device = torch.device(setting.device)
        if setting.precision not in self.peaks:
            self.peaks[setting.precision] = matmul_peak(device, TYPES[setting.precision], 10) if cuda else 0.0
        step = step_of(name, setting, tiny)
        timing = measured(step, setting, warmup=5 if cuda else 1, repeats=15 if cuda else 1)
        del step
        release_memory()
        rate, peak = setting.batch / timing.seconds, self.peaks[setting.precision]
        usual = setting.size == ROOFLINE_SIZE and setting.precision == "bf16"
        return {
            "images/s": rate,
            "ms per step": 1e3 * timing.seconds,
            "GFLOP per image": timing.operations / setting.batch / 1e9,
            "share of peak": timing.operations / timing.seconds / peak if peak else None,
            "share of roofline": rate / ROOFLINE[name] if usual and name in ROOFLINE else None,
            "memory, GiB": timing.memory,
        }


def step_of(name: str, setting: Setting, tiny: bool) -> Step:
    """The step of fine-tuning through a classifier, or of pre-training."""
    images, labels = batch_of(setting)
    autoencoder = prepared(autoencoder_of(tiny), setting)
    if name == PRETRAIN:
        return pretraining_step(autoencoder, images, setting)
    return finetuning_step(autoencoder, prepared(network(name), setting), images, labels, setting)


def augmentation(setting: Setting) -> Numbers:
    """``pretrain.augmentation=paper`` of a batch on the device; images are changed one by one."""
    from datamodules.augmentation import paper_augmentation

    images, _ = batch_of(setting)
    work = partial(paper_augmentation, images, range(setting.batch))
    work()
    seconds = min(timed(work, images.device) for _ in range(3))
    return {"images/s": setting.batch / seconds, "ms per step": 1e3 * seconds}
