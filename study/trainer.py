"""The Trainer of a job, and what belongs to it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.loggers import Logger
from torch import nn

from callbacks.loggers import FaultTolerantLogger
from networks.segnet import SegNet
from study.lightning_fixes import leave_signals_alone, plugins, quiet_lightning

LAYOUT_KEYS = {"channels_last", "compile"}  # the other keys of conf/trainer are arguments of Lightning's Trainer


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Attributes:
        epochs: Passes over the training images, if ``steps`` is ``None``.
        steps: Optimiser steps instead.
        check_every: Batches between two validations, with ``steps``.
    """

    epochs: int = 1
    steps: int | None = None
    check_every: int = 1


def make_trainer(
    cfg: DictConfig, length: Length | None = None, callbacks: Sequence[Callback] = (), loggers: Sequence[Logger] = ()
) -> pl.Trainer:
    """A Trainer that shows progress, and saves nothing by itself.

    Args:
        cfg: The configuration.
        length: How long it trains, if it does.
        callbacks: What else happens while it trains.
        loggers: What gets the numbers.
    """
    quiet_lightning()
    length = length or Length()
    limits: dict[str, Any] = {
        "max_epochs": max(1, length.epochs),
        "check_val_every_n_epoch": max(1, length.epochs // 10),
    }
    if length.steps is not None:
        limits = {
            "max_epochs": -1,
            "max_steps": length.steps,
            "check_val_every_n_epoch": None,
            "val_check_interval": length.check_every,
        }
    show_progress = sys.stderr.isatty()
    trainer = pl.Trainer(
        **{key: value for key, value in cfg.trainer.items() if key not in LAYOUT_KEYS},
        **limits,
        plugins=plugins(),
        logger=list(loggers),
        callbacks=[*callbacks, RichProgressBar(leave=False)] if show_progress else list(callbacks),
        enable_progress_bar=show_progress,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1_000_000,  # epochs are logged, not steps
        use_distributed_sampler=False,  # the datamodules know who sees what
        num_sanity_val_steps=0,
    )
    leave_signals_alone(trainer)
    for logger in loggers:
        if isinstance(logger, FaultTolerantLogger):
            logger.trainer = trainer
    return trainer


def without_accumulation(cfg: DictConfig, precision: str | None = None) -> DictConfig:
    """The configuration without gradient accumulation, for what is no training: there, chunks decide the memory.

    Args:
        cfg: The configuration.
        precision: Instead of the trainer's.
    """
    changes = {"accumulate_grad_batches": 1, "precision": precision or cfg.trainer.precision}
    return OmegaConf.merge(cfg, {"trainer": changes})  # type: ignore[return-value]


def accelerate(cfg: DictConfig, *networks: nn.Module) -> None:
    """Lay networks out and compile them as ``trainer.channels_last`` and ``trainer.compile`` want, in place."""
    for network in networks:
        if cfg.trainer.channels_last:
            network.to(memory_format=torch.channels_last)
        if cfg.trainer.compile:
            parts = [network.encoder, network.decoder] if isinstance(network, SegNet) else [network]
            for part in parts:
                part.compile()
