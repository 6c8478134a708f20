"""Processes that load images, started from a clean process."""

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
    """A ``DataLoader`` with loading processes that are not forked from this process.

    A process that trains has threads, among them those of gloo and NCCL. A fork copies the locks that they hold at
    that moment, and the copy may wait for them for ever (CPython issue 112275; seen with gloo on CPython 3.11.7).

    Args:
        dataset: What is loaded; it is pickled for each process.
        batch_size: Items of a batch.
        workers: Number of processes; 0 loads in this one.
        **options: Further arguments of ``DataLoader``.
    """
    if workers:
        options |= {"multiprocessing_context": clean_processes(), "worker_init_fn": follow_main}
    return DataLoader(dataset, batch_size=batch_size, num_workers=workers, **options)


def clean_processes() -> BaseContext:
    """A server without threads that starts loading processes; it is started once and has imported the libraries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()  # before the mask is set: starting it unblocks signals again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_MAIN)  # the server and its processes inherit the mask
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return context


def follow_main(worker: int) -> None:
    """In a loading process: end when the main process ends, however it ends."""
    main = multiprocessing.parent_process()

    def watch() -> None:
        if main is not None:
            main.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="follow-main").start()
