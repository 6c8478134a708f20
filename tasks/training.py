"""What the training steps share: fit, measure, keep the weights."""

import hashlib
import json
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from torch import nn

from callbacks import Checkpointing, FiniteLoss, SeededBatches
from datamodules.base import ImageDataModule
from tasks import build
from tasks.jobs import write_results
from tasks.study_folder import Artifact, save_weights
from tasks.terminal import say, say_made, say_skipped_images


def train(
    cfg: DictConfig,
    module: pl.LightningModule,
    data: ImageDataModule,
    *,
    length: build.Length,
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
    callbacks = [SeededBatches(cfg.seed), FiniteLoss(job / "loss_not_finite.json"), checkpointing]
    trainer = build.make_trainer(cfg, job, length, callbacks, keep_log=resumed is not None)
    if length.steps is not None or length.epochs:
        trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True if resumed else None)
    [results] = trainer.validate(module, datamodule=data, verbose=False)
    value, [path] = results[objective], artifact.files
    if trainer.is_global_zero:
        with artifact.making(value) as temporary:
            save_weights(network, temporary[path])
        write_results(job, results)
        for left in (checkpointing.path, job / "loss_not_finite.json"):
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
