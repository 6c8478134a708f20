"""Ranks for metrics: forked processes that share a gloo group."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import torch


def on_ranks(work: Callable[[int], object], ranks: int, folder: Path) -> list[object]:
    """Results of ``work(rank)`` in forked processes that share a gloo group."""

    def rank_process(rank: int) -> None:
        torch.set_num_threads(1)
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
        torch.save(work(rank), folder / f"{rank}.pt")
        torch.distributed.barrier()

    fork = multiprocessing.get_context("fork")  # the ranks need not import torchmetrics again, which takes seconds
    processes = [fork.Process(target=rank_process, args=(rank,)) for rank in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * ranks
    return [torch.load(folder / f"{rank}.pt") for rank in range(ranks)]
