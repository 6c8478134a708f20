"""What only a GPU reaches, with the answers of a made-up one: its description, kernels, lack of memory, precisions."""

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.gpu_parts import agreement, kernels, machine, record
from benchmarks.gpu_parts.cases import CASES
from benchmarks.gpu_parts.record import Options, Recorder

CUDA = Options("cuda", False, 0, "", "", 600.0)


def test_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = SimpleNamespace(name="NVIDIA H200", total_memory=140 * 2**30, multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: made_up)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="580.159.04\n"))
    described = machine.description(CUDA)["machine"]
    assert (described["gpu"], described["memory, GiB"], described["driver"]) == ("NVIDIA H200", 140, "580.159.04")

    def missing(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", missing)
    assert machine.description(CUDA)["machine"]["driver"] == "unknown"


def event(name: str, kind: Any, begin: float, end: float, annotation: bool = False) -> Any:
    span = SimpleNamespace(start=begin, end=end)
    return SimpleNamespace(name=name, device_type=kind, time_range=span, cpu_children=[], is_user_annotation=annotation)


def test_kernels_are_those_of_the_gpu_without_named_ranges() -> None:
    gpu, cpu = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU
    events = [
        event("Optimizer.step#Adam.step", gpu, 0, 100, annotation=True),
        event("gemm", gpu, 10, 30),
        event("nchwToNhwcKernel", gpu, 50, 60),
        event("aten::mm", cpu, 0, 5),
    ]
    assert [span.name for span in kernels.spans(events, cuda=True)] == ["gemm", "nchwToNhwcKernel"]
    numbers = kernels.summary(kernels.spans(events, cuda=True))
    assert numbers["idle share"] == pytest.approx(0.4)
    assert numbers["share of copies"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out of memory"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "failed"),
    ],
)
def test_a_lack_of_memory_is_told_from_failures(error: Exception, status: str) -> None:
    assert record.failure(error) == status


def test_a_gpu_is_compared_in_four_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def attempt(self: Recorder, name: str, work: Any, seconds: float = 1.0) -> None:
        asked.append(name)

    monkeypatch.setattr(Recorder, "attempt", attempt)
    agreement.measure(Recorder(CUDA))
    assert len(asked) == len(set(asked))
    half = [case.name for case in CASES if case.half]
    for case in CASES:
        assert case.name in asked
        assert f"{case.name}, TF32" in asked
    for name in half:
        assert {f"{name}, bf16-mixed", f"{name}, 16-mixed"} <= set(asked)
    assert {f"{name}, 256 pixels" for name in ("autoencoder", "vgg16", "inception_v3")} <= set(asked)
