"""Processes of one job that Lightning starts: none outlives the first."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

FIRST_RANK = "LIKE_TO_SEE_FIRST_RANK"  # its process, noted for those that it starts


def is_spawned_rank() -> bool:
    """Whether this process was started by the first rank of the same machine."""
    return os.environ.get("LOCAL_RANK", "0") != "0" and "SLURM_PROCID" not in os.environ


def follow_parent(seconds: float = 2) -> None:
    """In a rank that another one started: end as soon as that one is gone, even within a collective operation.

    Args:
        seconds: How often to look.
    """
    if not is_spawned_rank():
        os.environ[FIRST_RANK] = str(os.getpid())
        return
    parent = int(os.environ.get(FIRST_RANK, os.getppid()))  # asking now may be too late

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="follow-parent").start()


def wait_for_ranks() -> None:
    """Wait until all processes of the job have reached this line."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # NCCL would otherwise guess a GPU from the number of the rank, a wrong one for trainer.devices=[2,3]
        nccl = torch.distributed.get_backend() == "nccl"
        torch.distributed.barrier(device_ids=[torch.cuda.current_device()] if nccl else None)


def union_over_ranks(paths: Sequence[Path]) -> list[str]:
    """The paths that any process of the job names, each once, sorted; every process must call this."""
    import torch

    names = [[str(path) for path in paths]]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gathered: list[list[str]] = [[] for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(gathered, names[0])
        names = gathered
    return sorted({name for part in names for name in part})
