"""Part ``machine``: what it runs on, and how fast matrix products and copies are there."""

import os
import platform
import subprocess
from functools import partial
from importlib import metadata
from pathlib import Path

import torch

from benchmarks.gpu_parts.record import DESCRIPTION, Numbers, Options, Recorder
from benchmarks.throughput import TYPES, matmul_peak, timed

PACKAGES = (
    "torch", "torchvision", "pytorch-lightning", "torchmetrics", "triton", "hydra-core", "omegaconf", "numpy", "wandb",
    "safetensors", "scikit-image", "scikit-learn", "scipy", "pandas", "matplotlib", "jinja2", "rich",
)  # fmt: skip
COPIED = 2**30  # bytes
BATCH = 64  # images of 256 pixels


def measure(recorder: Recorder) -> None:
    """Describe the machine, and measure its peaks."""
    options = recorder.options
    recorder.attempt(DESCRIPTION, lambda: description(options))
    device = torch.device(options.device)
    for precision in ("fp32",) if options.tiny else TYPES:
        recorder.attempt(f"matrix product, {precision}", partial(matrix_product, device, precision))
    recorder.attempt("copy on the device", partial(copy_on, device, COPIED // 16 if options.tiny else COPIED))
    for pinned in (False, True) if device.type == "cuda" else (False,):
        name = f"copy of {BATCH} images to the device, {'pinned' if pinned else 'pageable'}"
        recorder.attempt(name, partial(copy_to, device, pinned))


def description(options: Options) -> Numbers:
    """The machine and the versions, for the head of the results."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    machine: Numbers = {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()}
    if options.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        machine |= {
            "gpu": properties.name,
            "gpus": torch.cuda.device_count(),
            "memory, GiB": properties.total_memory / 2**30,
            "multiprocessors": properties.multi_processor_count,
            "driver": driver(),
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
        }
    return {"machine": machine, "versions": versions}


def processor() -> str:
    """Name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def driver() -> str:
    """Version of the GPU's driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.splitlines()[0].strip()


def matrix_product(device: torch.device, precision: str) -> Numbers:
    """The rate of a large matrix product."""
    return {"TFLOP/s": matmul_peak(device, TYPES[precision], 10) / 1e12}


def copy_on(device: torch.device, size: int) -> Numbers:
    """Bytes read and written in a second by a copy within the device's memory."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return {"TB/s": 2 * size / min(timed(lambda: target.copy_(source), device) for _ in range(5)) / 1e12}


def copy_to(device: torch.device, pinned: bool) -> Numbers:
    """How long a batch of uint8 images takes to the device."""
    images = torch.zeros(BATCH, 3, 256, 256, dtype=torch.uint8)
    source = images.pin_memory() if pinned else images
    source.to(device)
    seconds = min(timed(lambda: source.to(device, copy=True), device) for _ in range(10))
    return {"milliseconds": 1e3 * seconds, "GB/s": images.numel() / seconds / 1e9}
