"""Images per second of pre-training, of fine-tuning through each classifier, and of the cross evaluation.

python benchmarks/throughput.py                                                       one CPU: small
python benchmarks/throughput.py --device cuda --batch 64 --precision bf16 --channels-last --compile

Prints Markdown. Each figure is the median of --repeats timed steps after --warmup ones; the share of the peak is
counted floating-point operations over the fastest matrix product measured here in the same precision.
benchmarks/gpu.py measures the same steps on a GPU with many settings, in one command.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from networks.classifier import Classifier, freeze
from networks.segnet import SegNet
from networks.torchvision_classifiers import torchvision_network, torchvision_preprocessing

NAMES = ("alexnet", "vgg16", "resnet50", "inception_v3")
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Setting:
    """How a step is computed.

    Attributes:
        device: ``cpu`` or ``cuda``.
        batch: Images of a step.
        size: Their side, in pixels, as the autoencoder sees them.
        precision: A key of ``TYPES``; autocast, as Lightning's mixed precision.
        channels_last: Whether networks are laid out with channels last.
        compile: Whether networks are compiled.
        backend: Of ``torch.compile``.
    """

    device: str
    batch: int
    size: int
    precision: str
    channels_last: bool = False
    compile: bool = False
    backend: str = "inductor"


@dataclass(frozen=True)
class Timing:
    """What a step costs.

    Attributes:
        seconds: Median of the timed steps.
        operations: Counted floating-point operations.
        memory: Largest memory that tensors took on the GPU, in GiB; ``None`` on a CPU.
    """

    seconds: float
    operations: int
    memory: float | None


def main() -> None:
    """Measure what the arguments ask for."""
    options = parse()
    setting = Setting(
        options.device, options.batch, options.size, options.precision, options.channels_last, options.compile
    )
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name() if device.type == "cuda" else cpu
    peak = matmul_peak(device, TYPES[options.precision], options.repeats)
    say(f"torch {torch.__version__} on {name}; {options.precision}, batch {options.batch}, {options.size} pixels, ")
    say(f"channels_last {options.channels_last}, compile {options.compile}; matmul peak {peak / 1e12:.2f} TFLOP/s\n\n")
    say("| step | images/s | GFLOP per image | share of peak | memory, GiB |\n|---|---|---|---|---|\n")
    images, labels = batch_of(setting)
    autoencoder = prepared(SegNet(), setting)
    classifiers = {name: prepared(network(name), setting) for name in options.classifiers}

    def row(name: str, step: Callable[[], None]) -> None:
        timing = measured(step, setting, options.warmup, options.repeats)
        memory = "–" if timing.memory is None else f"{timing.memory:.1f}"
        share, per_image = timing.operations / timing.seconds / peak, timing.operations / setting.batch / 1e9
        say(f"| {name} | {setting.batch / timing.seconds:.2f} | {per_image:.0f} | {share:.0%} | {memory} |\n")

    row("pre-train", pretraining_step(autoencoder, images, setting))
    for name, classifier in classifiers.items():
        row(f"fine-tune through {name}", finetuning_step(autoencoder, classifier, images, labels, setting))
    step = evaluation_step(autoencoder, list(classifiers.values()), images, setting)
    row(f"cross evaluation, {len(classifiers) + 1} autoencoders × {len(classifiers)} classifiers", step)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=256, help="pixels, as the autoencoder sees them")
    parser.add_argument("--precision", choices=list(TYPES), default="fp32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--classifiers", nargs="+", default=list(NAMES))
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def network(name: str) -> Classifier:
    """A published architecture with random weights."""
    return Classifier(torchvision_network(name, 1000), torchvision_preprocessing(name, "IMAGENET1K_V1", "native"))


def batch_of(setting: Setting) -> tuple[Tensor, Tensor]:
    """Images and labels, drawn."""
    images = torch.rand(setting.batch, 3, setting.size, setting.size, device=setting.device)
    return images, torch.randint(1000, (setting.batch,), device=setting.device)


def prepared(module: Any, setting: Setting) -> Any:
    """A network on its device, laid out and compiled as asked; classifiers frozen."""
    module = module.to(setting.device)
    if setting.channels_last:
        module = module.to(memory_format=torch.channels_last)
    if isinstance(module, Classifier):
        freeze(module)
    if setting.compile:
        for part in (module.encoder, module.decoder) if isinstance(module, SegNet) else (module,):
            part.compile(backend=setting.backend)
    return module


def training_step(
    loss_of: Callable[[], Tensor], optimizer: torch.optim.Optimizer, setting: Setting
) -> Callable[[], None]:
    """Compute a loss, backpropagate it, step."""

    def step() -> None:
        optimizer.zero_grad()
        with half_precision(torch.device(setting.device), setting.precision):
            loss = loss_of()
        loss.backward()
        optimizer.step()

    return step


def pretraining_step(autoencoder: SegNet, images: Tensor, setting: Setting) -> Callable[[], None]:
    """Reconstruct, backpropagate the squared error to all weights, step."""
    optimizer = torch.optim.SGD(autoencoder.parameters(), lr=0.01, momentum=0.9)
    return training_step(lambda: F.mse_loss(autoencoder(images), images), optimizer, setting)


def finetuning_step(
    autoencoder: SegNet, classifier: Classifier, images: Tensor, labels: Tensor, setting: Setting
) -> Callable[[], None]:
    """Encode without gradient, decode, classify, backpropagate to the decoder, step."""
    freeze(autoencoder.encoder)
    autoencoder.decoder.train().requires_grad_(True)

    def loss() -> Tensor:
        with torch.no_grad():
            code, switches = autoencoder.encode(images)
        return F.cross_entropy(classifier(autoencoder.decode(code, switches)), labels)

    return training_step(loss, torch.optim.Adam(autoencoder.decoder.parameters(), lr=1e-4), setting)


def evaluation_step(
    autoencoder: SegNet, classifiers: list[Classifier], images: Tensor, setting: Setting
) -> Callable[[], None]:
    """One encoder pass, N + 1 decoder passes, (N + 2) · M classifier passes."""
    freeze(autoencoder)

    def step() -> None:
        with torch.inference_mode(), half_precision(images.device, setting.precision):
            code, switches = autoencoder.encode(images)
            for row in range(len(classifiers) + 2):
                source = images if row == 0 else autoencoder.decode(code, switches)
                for classifier in classifiers:
                    classifier(source)

    return step


def measured(step: Callable[[], None], setting: Setting, warmup: int, repeats: int) -> Timing:
    """Time a step, and count its operations."""
    device = torch.device(setting.device)
    for _ in range(warmup):
        step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median(timed(step, device) for _ in range(repeats))
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    with FlopCounterMode(display=False) as counter, torch._dynamo.config.patch(disable=True):
        step()  # in eager mode: compiled operations are not counted
    return Timing(seconds, counter.get_total_flops(), memory)


def timed(step: Callable[[], Any], device: torch.device) -> float:
    """Seconds that one step takes."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def matmul_peak(device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """Floating-point operations per second of a large matrix product."""
    side = 8192 if device.type == "cuda" else 1024
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    for _ in range(3):
        one @ other
    return 2 * side**3 / min(timed(lambda: one @ other, device) for _ in range(max(5, repeats)))


def half_precision(device: torch.device, precision: str) -> Any:
    """Autocast as Lightning's mixed precision does it."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, TYPES[precision])


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
