"""Images per second of pre-training, of fine-tuning through each classifier, and of the cross evaluation.

python benchmarks/throughput.py                                                       one CPU: small
python benchmarks/throughput.py --device cuda --batch 64 --precision bf16 --channels-last --compile
python benchmarks/throughput.py --device cuda --agreement                             CUDA against CPU, float32

Prints Markdown. Each figure is the median of --repeats timed steps after --warmup ones; the share of the peak is
counted floating-point operations over the fastest matrix product measured here in the same precision.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
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


def main() -> None:
    """Measure what the arguments ask for."""
    options = parse()
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name() if device.type == "cuda" else cpu
    peak = matmul_peak(device, TYPES[options.precision], options.repeats)
    say(f"torch {torch.__version__} on {name}; {options.precision}, batch {options.batch}, {options.size} pixels, ")
    say(f"channels_last {options.channels_last}, compile {options.compile}; matmul peak {peak / 1e12:.2f} TFLOP/s\n\n")
    if options.agreement:
        agreement(options.size)
        return
    say("| step | images/s | GFLOP per image | share of peak | memory, GiB |\n|---|---|---|---|---|\n")
    images = torch.rand(options.batch, 3, options.size, options.size, device=device)
    labels = torch.randint(1000, (options.batch,), device=device)
    autoencoder = prepared(SegNet(), device, options)
    classifiers = {name: prepared(network(name), device, options) for name in options.classifiers}
    row("pre-train", pretraining_step(autoencoder, images, options), options, peak)
    for name, classifier in classifiers.items():
        step = finetuning_step(autoencoder, classifier, images, labels, options)
        row(f"fine-tune through {name}", step, options, peak)
    step = evaluation_step(autoencoder, list(classifiers.values()), images, options)
    row(f"cross evaluation, {len(classifiers) + 1} autoencoders × {len(classifiers)} classifiers", step, options, peak)


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
    parser.add_argument("--agreement", action="store_true", help="compare CUDA with the CPU instead")
    return parser.parse_args()


def network(name: str) -> Classifier:
    """A published architecture with random weights."""
    return Classifier(torchvision_network(name, 1000), torchvision_preprocessing(name, "IMAGENET1K_V1", "native"))


def prepared(module: Any, device: torch.device, options: argparse.Namespace) -> Any:
    """A network on its device, laid out and compiled as asked; classifiers frozen."""
    module = module.to(device)
    if options.channels_last:
        module = module.to(memory_format=torch.channels_last)
    if isinstance(module, Classifier):
        freeze(module)
    if options.compile:
        for part in (module.encoder, module.decoder) if isinstance(module, SegNet) else (module,):
            part.compile()
    return module


def training_step(
    loss_of: Callable[[], Tensor], optimizer: torch.optim.Optimizer, options: argparse.Namespace
) -> Callable[[], None]:
    """Compute a loss, backpropagate it, step."""

    def step() -> None:
        optimizer.zero_grad()
        with half_precision(torch.device(options.device), options.precision):
            loss = loss_of()
        loss.backward()
        optimizer.step()

    return step


def pretraining_step(autoencoder: SegNet, images: Tensor, options: argparse.Namespace) -> Callable[[], None]:
    """Reconstruct, backpropagate the squared error to all weights, step."""
    optimizer = torch.optim.SGD(autoencoder.parameters(), lr=0.01, momentum=0.9)
    return training_step(lambda: F.mse_loss(autoencoder(images), images), optimizer, options)


def finetuning_step(
    autoencoder: SegNet, classifier: Classifier, images: Tensor, labels: Tensor, options: argparse.Namespace
) -> Callable[[], None]:
    """Encode without gradient, decode, classify, backpropagate to the decoder, step."""
    freeze(autoencoder.encoder)
    autoencoder.decoder.train().requires_grad_(True)

    def loss() -> Tensor:
        with torch.no_grad():
            code, switches = autoencoder.encode(images)
        return F.cross_entropy(classifier(autoencoder.decode(code, switches)), labels)

    return training_step(loss, torch.optim.Adam(autoencoder.decoder.parameters(), lr=1e-4), options)


def evaluation_step(
    autoencoder: SegNet, classifiers: list[Classifier], images: Tensor, options: argparse.Namespace
) -> Callable[[], None]:
    """One encoder pass, N + 1 decoder passes, (N + 2) · M classifier passes."""
    freeze(autoencoder)

    def step() -> None:
        with torch.inference_mode(), half_precision(images.device, options.precision):
            code, switches = autoencoder.encode(images)
            for row in range(len(classifiers) + 2):
                source = images if row == 0 else autoencoder.decode(code, switches)
                for classifier in classifiers:
                    classifier(source)

    return step


def row(name: str, step: Callable[[], None], options: argparse.Namespace, peak: float) -> None:
    """Print one line of the table."""
    for _ in range(options.warmup):
        step()
    device = torch.device(options.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median(timed(step, device) for _ in range(options.repeats))
    with FlopCounterMode(display=False) as counter, torch._dynamo.config.patch(disable=True):
        step()  # in eager mode: compiled operations are not counted
    operations = counter.get_total_flops()
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if device.type == "cuda" else "–"
    share, per_image = operations / seconds / peak, operations / options.batch / 1e9
    say(f"| {name} | {options.batch / seconds:.2f} | {per_image:.0f} | {share:.0%} | {memory} |\n")


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


def agreement(size: int) -> None:
    """Print how far CUDA and CPU are apart in float32: reconstructions, and logits of each network."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    images = torch.rand(2, 3, size, size)
    say("| output | largest difference, relative to the largest value |\n|---|---|\n")
    for name in ("autoencoder", *NAMES):
        module: Any = freeze(SegNet() if name == "autoencoder" else network(name))
        with torch.inference_mode():
            on_cpu = module(images)
            on_cuda = module.cuda()(images.cuda()).cpu()
        say(f"| {name} | {float((on_cpu - on_cuda).abs().max() / on_cpu.abs().max()):.1e} |\n")


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
