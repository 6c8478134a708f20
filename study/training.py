"""Training that goes on after an interruption, to the same bits; used by every step that trains or searches."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from torch import nn

from callbacks.checkpointing import Checkpointing
from callbacks.guards import FiniteLoss
from callbacks.monitoring import Monitor, Reconstructions
from callbacks.randomness import SeededBatches
from datamodules.base import ImageDataModule
from study.artifact import Artifact
from study.console import say
from study.loggers import fixed_images, open_loggers
from study.step import CHECKPOINT, NOT_FINITE, Result, Step
from study.trainer import Length, make_trainer

PICTURES = 8


@contextmanager
def fitted(
    cfg: DictConfig,
    module: pl.LightningModule,
    data: Any,
    *,
    length: Length,
    job: Path,
    identity: str,
    callbacks: Sequence[Callback] = (),
    between_epochs: bool = False,
    pictures: ImageDataModule | None = None,
) -> Iterator[pl.Trainer]:
    """Fit a module, from the last checkpoint if it was interrupted; gives the trainer while the loggers are open.

    Args:
        cfg: The configuration, for its trainer and loggers.
        module: What Lightning trains.
        data: Its LightningDataModule, with ``consumed_batches`` unless ``between_epochs``.
        length: How long; 0 epochs train nothing.
        job: The folder of the log and of the checkpoint.
        identity: What tells this training from others (:func:`identity_of`).
        callbacks: Further callbacks.
        between_epochs: Whether checkpoints are made only before the first batch of an epoch.
        pictures: Images whose reconstructions loggers with pictures show.
    """
    checkpointing = Checkpointing(job / CHECKPOINT, cfg.checkpoint_every, identity, between_epochs=between_epochs)
    consumed = checkpointing.consumed()
    resumed = None if consumed is None else checkpointing.path
    if resumed is not None:
        say(f"going on from {resumed}")
        if not between_epochs:
            data.consumed_batches = consumed
    with open_loggers(cfg, job, identity, keep_log=resumed is not None) as loggers:
        shown: list[Callback] = []
        if pictures is not None and any(logger.shows_pictures for logger in loggers):
            shown = [Reconstructions(fixed_images(pictures, "val", PICTURES))]
        trainer = make_trainer(cfg, length, [*callbacks, checkpointing, *shown], loggers)
        if length.steps is not None or length.epochs:
            trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True if resumed else None)
        yield trainer


def guards(cfg: DictConfig, job: Path, seed: int) -> list[Callback]:
    """Callbacks of every training by gradients: seeded steps, a guard against a loss that is not finite, a log."""
    return [SeededBatches(seed), FiniteLoss(job / NOT_FINITE), Monitor(cfg.log_every)]


def train(
    cfg: DictConfig,
    step: Step,
    module: pl.LightningModule,
    data: ImageDataModule,
    *,
    length: Length,
    network: nn.Module,
    objective: str,
) -> Result:
    """Fit a module and validate it; the result holds the weights of one of its networks.

    Args:
        cfg: The configuration.
        step: The step that makes the weights file.
        module: What Lightning trains.
        data: Its images.
        length: How long; 0 epochs only measure.
        network: The network whose weights are kept.
        objective: The logged value that says how good the network is, such as ``val/accuracy``.
    """
    with fitted(
        cfg,
        module,
        data,
        length=length,
        job=step.job,
        identity=identity_of(cfg, data, step.artifact),
        callbacks=guards(cfg, step.job, cfg.seed),
        pictures=data if hasattr(module, "autoencoder") else None,
    ) as trainer:
        [results] = trainer.validate(module, datamodule=data, verbose=False)
    value, [path] = results[objective], step.artifact.files
    return Result(value, {path.name: network}, results, unreadable=data.unreadable(), shown={objective: value})


def identity_of(cfg: DictConfig, data: ImageDataModule, artifact: Artifact) -> str:
    """What tells a training from others: settings, inputs, and how images are shared among processes."""
    shares = [str(cfg.trainer.devices), cfg.trainer.num_nodes, cfg.trainer.accumulate_grad_batches]
    shares += [data.workers] if data.single_pass else []
    return hashlib.sha256(json.dumps([artifact.settings, artifact.inputs, shares]).encode()).hexdigest()
