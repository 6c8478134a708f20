"""Waiting for the other ranks of a job: on GPUs, each rank waits on the GPU that it computes on."""

from typing import Any

import pytest
import torch

from study.distributed import wait_for_ranks


@pytest.mark.parametrize(("backend", "device_ids"), [("nccl", [3]), ("gloo", None)])
def test_ranks_wait_on_their_own_gpu(backend: str, device_ids: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[Any] = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: backend)
    monkeypatch.setattr(torch.distributed, "barrier", lambda device_ids: waited.append(device_ids))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    wait_for_ranks()
    assert waited == [device_ids]


def test_a_single_process_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "barrier", lambda **_: pytest.fail("nothing to wait for"))
    wait_for_ranks()
