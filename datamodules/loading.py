"""Processes that load images, each started from a clean process."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from typing import Any

from torch.utils.data import DataLoader

PRELOADED = ["torch", "torchvision", "pytorch_lightning", "hydra", "pandas"]  # what takes seconds to import
LEFT_TO_MAIN = (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)  # that ask a job to stop: it saves first


def make_loader(dataset: Any, *, batch_size: int, workers: int, **options: Any) -> DataLoader[Any]:
    """A ``DataLoader`` whose processes are not forked from this one.

    A process that trains has threads, those of gloo and NCCL among them. A fork takes a copy of the locks that they
    hold at that moment, and the copy may wait for them for ever (seen with gloo, on CPython 3.11.7: its issue 112275).

    Args:
        dataset: What is loaded; it is pickled for each process.
        batch_size: Items of a batch.
        workers: Number of processes; 0 loads in this one.
        **options: As for ``DataLoader``.
    """
    if workers:
        options |= {"multiprocessing_context": clean_processes(), "worker_init_fn": follow_main}
    return DataLoader(dataset, batch_size=batch_size, num_workers=workers, **options)


def clean_processes() -> BaseContext:
    """Where loading processes come from: a server without threads, started once, that has imported the libraries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()  # which would let Ctrl-C through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_MAIN)  # inherited
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return context


def follow_main(worker: int) -> None:
    """In a loading process: end with the process that it loads for, however that ends."""
    main = multiprocessing.parent_process()

    def watch() -> None:
        if main is not None:
            main.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="follow-main").start()
