"""What the training steps share: fit, measure, keep the weights."""

import hashlib
import json
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from torch import nn

from callbacks import Checkpointing, FiniteLoss, Monitor, Reconstructions, SeededBatches
from datamodules.base import ImageDataModule
from study.artifact import Artifact
from study.console import say, say_made, say_skipped_images
from study.files import save_weights
from study.loggers import fixed_images, open_loggers
from study.results import write_results
from study.trainer import Length, make_trainer

NOT_FINITE = "loss_not_finite.json"
PICTURES = 8


def train(
    cfg: DictConfig,
    module: pl.LightningModule,
    data: ImageDataModule,
    *,
    length: Length,
    job: Path,
    network: nn.Module,
    artifact: Artifact,
    objective: str,
) -> float:
    """Fit a module, keep one of its networks as an artifact, and return what validation logs as the objective.

    A training that was interrupted goes on from its last checkpoint, to the same weights.

    Args:
        cfg: The configuration, for its trainer and logger.
        module: What Lightning trains.
        data: Its images.
        length: How long; 0 epochs only measure.
        job: Where the log and the checkpoint go.
        network: The network whose weights are kept.
        artifact: The weights file.
        objective: The logged value that says how good the network is, such as ``val/accuracy``.
    """
    checkpointing = Checkpointing(job / "last.ckpt", cfg.checkpoint_every, identity(cfg, data, artifact))
    consumed, resumed = checkpointing.consumed(), None
    if consumed is not None:
        data.consumed_batches, resumed = consumed, checkpointing.path
        say(f"going on from {checkpointing.path}")
    callbacks = [SeededBatches(cfg.seed), FiniteLoss(job / NOT_FINITE), Monitor(cfg.log_every), checkpointing]
    with open_loggers(cfg, job, checkpointing.identity, keep_log=resumed is not None) as loggers:
        if any(board.shows_pictures for board in loggers) and hasattr(module, "autoencoder"):
            callbacks.append(Reconstructions(fixed_images(data, "val", PICTURES)))
        trainer = make_trainer(cfg, length, callbacks, loggers)
        if length.steps is not None or length.epochs:
            trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True if resumed else None)
        [results] = trainer.validate(module, datamodule=data, verbose=False)
    value, [path] = results[objective], artifact.files
    if trainer.is_global_zero:
        with artifact.making(value) as temporary:
            save_weights(network, temporary[path])
        write_results(job, results)
        for left in (checkpointing.path, job / NOT_FINITE):
            left.unlink(missing_ok=True)
    trainer.strategy.barrier()
    say_skipped_images(data.unreadable(), job)
    say_made(path, **{objective: value})
    return value


def identity(cfg: DictConfig, data: ImageDataModule, artifact: Artifact) -> str:
    """What tells a training from others: settings, inputs, and how images are shared among processes."""
    shares = [str(cfg.trainer.devices), cfg.trainer.num_nodes, cfg.trainer.accumulate_grad_batches]
    shares += [data.workers] if data.single_pass else []
    return hashlib.sha256(json.dumps([artifact.settings, artifact.inputs, shares]).encode()).hexdigest()
