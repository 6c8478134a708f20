"""What the training steps share: fit, measure, keep the weights."""

from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from torch import nn

from datamodules.base import ImageDataModule
from tasks import build
from tasks.study_folder import Artifact, save_weights
from tasks.terminal import say_made


def train(
    cfg: DictConfig,
    module: pl.LightningModule,
    data: ImageDataModule,
    *,
    epochs: int,
    job: Path,
    network: nn.Module,
    artifact: Artifact,
    objective: str,
) -> float:
    """Fit a module, keep one of its networks as an artifact, and return what validation logs as the objective.

    Args:
        cfg: The configuration, for its trainer and logger.
        module: What Lightning trains.
        data: Its images.
        epochs: How long; 0 only measures.
        job: Where the log goes.
        network: The network whose weights are kept.
        artifact: The weights file.
        objective: The logged value that says how good the network is, such as ``val/accuracy``.
    """
    trainer = build.make_trainer(cfg, job, epochs)
    if epochs:
        trainer.fit(module, datamodule=data)
    [results] = trainer.validate(module, datamodule=data, verbose=False)
    value, [path] = results[objective], artifact.files
    if trainer.is_global_zero:
        with artifact.making(value) as temporary:
            save_weights(network, temporary[path])
    trainer.strategy.barrier()
    say_made(path, **{objective: value})
    return value
