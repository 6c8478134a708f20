"""Workarounds for Lightning 2.6, each with its reason; when one is no longer needed, it is removed here."""

import logging
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.plugins.io import TorchCheckpointIO

from callbacks.checkpoint_file import add_digest
from study.files import whole_file

NOTICES = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*recommended to use .*devices=1, num_nodes=1.*",
    r".*module\(s\) in eval mode at the start of training.*",  # frozen on purpose
    ".*LeafSpec.* is deprecated.*",  # a call within Lightning
    ".*your dataloader is not resumable.*",  # its sampler is: order and position are functions of (seed, epoch, index)
    ".*`srun` command is available on your system but is not used.*",  # one process is enough for one device
    ".*`IterableDataset` has `__len__` defined.*",  # and the length is right
    ".*You passed in a `val_dataloader` but have no `validation_step`.*",  # steps of a fit have no validation
    ".*You requested to overfit but enabled train dataloader shuffling.*",  # debug=overfit: Lightning turns it off
)


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint to a temporary file, with a digest of its content; flush and rename it.

    Lightning goes through ``TMPDIR``, which may be small, and overwrites the old file where it cannot rename: on a full
    disk a complete ``last.ckpt`` was replaced by a broken one (seen with 2.6.6).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``, whole or not at all."""
        with whole_file(Path(path)) as temporary:
            try:
                with temporary.open("xb") as file:
                    torch.save(checkpoint, file)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):  # PyTorch hides a full disk behind its own words
                    raise error.__context__ from None
                raise
            add_digest(temporary)


def plugins() -> list[Any]:
    """Plugins of every Trainer.

    On Slurm, Lightning would put a job back into the queue by itself; callbacks.Checkpointing and the launcher do that.
    """
    return [WholeFileCheckpointIO(), *([SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else [])]


def leave_signals_alone(trainer: pl.Trainer) -> None:
    """Keep Lightning from handling signals: its handlers broadcast at any moment, and end the program with status 0."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def leave_ranks() -> None:
    """End the communication with the other ranks, at the end of a job.

    Lightning does so for NCCL alone. Threads of gloo, left to the end of the interpreter, can abort the process after
    all work is done (seen: "terminate called without an active exception").
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def quiet_lightning() -> None:
    """Keep notices about the machine, and advice that does not apply here, off the screen."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in NOTICES:
        warnings.filterwarnings("ignore", message=message)
