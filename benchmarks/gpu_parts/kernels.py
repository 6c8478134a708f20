"""Part ``profile``: the kernels of one fine-tuning step, copies between layouts, and how long the device waits."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_parts.record import Numbers, Recorder
from benchmarks.gpu_parts.steps import BATCH, SIZE, names_of, step_of
from benchmarks.throughput import Setting, timed

SHOWN = 10
# parts of the names of kernels and operations that only change the layout or the type of a tensor
LAYOUT = ("nchwtonhwc", "nhwctonchw", "copy", "transpose", "contiguous", "_to_copy")
NAME = 60  # characters


@dataclass(frozen=True)
class Span:
    """A kernel or an operation.

    Attributes:
        name: Its name.
        begin: In microseconds.
        end: In microseconds.
    """

    name: str
    begin: float
    end: float


def measure(recorder: Recorder) -> None:
    """Profile the step of each classifier; ResNet-50 first."""
    options = recorder.options
    names = sorted(names_of(options.tiny), key=lambda name: name != "resnet50")
    setting = Setting(options.device, 2 if options.tiny else BATCH, 32 if options.tiny else SIZE, "bf16", True)
    for name in names:
        found: list[Span] = []
        recorder.attempt(f"fine-tune through {name}", partial(overview, name, setting, options.tiny, found))
        for number, row in enumerate(largest(found), start=1):
            recorder.attempt(f"{name}, {number}", partial(dict, row))


def overview(name: str, setting: Setting, tiny: bool, found: list[Span]) -> Numbers:
    """Profile a step; its kernels are added to ``found``."""
    step, device = step_of(name, setting, tiny), torch.device(setting.device)
    for _ in range(3):
        step()
    seconds = min(timed(step, device) for _ in range(3))
    cuda = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as profiled:
        step()
        if cuda:
            torch.cuda.synchronize()
    found += spans(profiled.events() or [], cuda)
    return summary(found) | {"ms per step, not profiled": 1e3 * seconds}


def spans(events: Sequence[Any], cuda: bool) -> list[Span]:
    """Kernels on the GPU; on a CPU, operations that call no others."""
    kind = torch.autograd.DeviceType.CUDA if cuda else torch.autograd.DeviceType.CPU
    kernels = [event for event in events if event.device_type == kind and not event.cpu_children]
    # ranges that a program has named, such as an optimizer's step, are no kernels but span several
    chosen = [event for event in kernels if not getattr(event, "is_user_annotation", False)]
    return [Span(event.name, event.time_range.start, event.time_range.end) for event in chosen]


def summary(found: Sequence[Span]) -> Numbers:
    """How long the device works and waits, and the share of copies.

    Raises:
        ValueError: If there is no kernel.
    """
    if not found:
        raise ValueError("the profiler has seen no kernel: is its access to the GPU's counters restricted?")
    whole = max(span.end for span in found) - min(span.begin for span in found)
    busy = union(found)
    copies = sum(span.end - span.begin for span in found if is_copy(span.name))
    return {
        "kernels": len(found),
        "ms from the first to the last": whole / 1e3,
        "idle share": 1 - busy / whole if whole else 0.0,
        "share of copies": copies / sum(span.end - span.begin for span in found),
    }


def union(found: Sequence[Span]) -> float:
    """Microseconds in which at least one span is open."""
    busy, reached = 0.0, float("-inf")
    for span in sorted(found, key=lambda span: span.begin):
        busy += max(0.0, span.end - max(span.begin, reached))
        reached = max(reached, span.end)
    return busy


def is_copy(name: str) -> bool:
    """Whether a kernel only changes the layout or the type of a tensor."""
    return any(part in name.lower() for part in LAYOUT)


def largest(found: Sequence[Span]) -> list[Numbers]:
    """The kernels that take longest in total."""
    total: dict[str, list[float]] = defaultdict(list)
    for span in found:
        total[span.name].append(span.end - span.begin)
    whole = sum(map(sum, total.values()))
    order = sorted(total, key=lambda name: -sum(total[name]))[:SHOWN]
    return [
        {
            "kernel": name[:NAME],
            "calls": len(total[name]),
            "ms": sum(total[name]) / 1e3,
            "share": sum(total[name]) / whole,
        }
        for name in order
    ]
