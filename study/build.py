"""From a composed configuration to plain objects, and to what an artifact was made with."""

import logging
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import SLURMEnvironment
from torch import nn

from callbacks import WholeFileCheckpointIO
from callbacks.loggers import FaultTolerantLogger
from datamodules.augmentation import Augmentation
from datamodules.base import ImageDataModule
from datamodules.poison import read_poison
from datamodules.poisoned import PoisonedImages
from networks.segnet import SegNet
from networks.weights import load_weights
from study.folder import Artifact, StudyFolder
from study.instantiation import instantiate

CONF = Path(__file__).resolve().parents[1] / "conf"
# of files, the content counts (an input), not the path
NOT_DECISIVE = {"workers", "root", "weights", "title", "published", "cache", "expect", "on_error"}
OWN_TRAINER_KEYS = {"channels_last", "compile"}  # the others are Lightning's


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


def study_folder(cfg: DictConfig) -> StudyFolder:
    """The folder that ``studies`` and ``study`` name."""
    return StudyFolder(Path(cfg.studies) / str(cfg.study))


def classifier_file(cfg: DictConfig, name: str) -> Path:
    """Where the weights of a classifier that is trained here are kept: in this study, or in one that shares them."""
    return StudyFolder(Path(cfg.studies) / str(cfg.classifiers_from)).classifier(name)


def make_data(
    cfg: DictConfig, batch_size: int = 2, augmentation: Augmentation = "crop_flip", node: str = "data"
) -> ImageDataModule:
    """The images, in batches of ``batch_size`` over all devices.

    Args:
        cfg: The configuration.
        batch_size: Images per step over all devices.
        augmentation: What happens to training images.
        node: The part of the configuration that describes the images: ``data`` or ``pretrain_data``.
    """
    if OmegaConf.is_missing(cfg[node], "root"):
        raise ValueError(f"{node}.root is not set: name the folder that holds the images, as {node}.root=/data/pets")
    described: Any = OmegaConf.to_container(cfg[node], resolve=True)
    poison = described.pop("poison", None)
    data: ImageDataModule = instantiate(
        OmegaConf.create(described), node, batch_size=batch_size, seed=cfg.seed, augmentation=augmentation
    )
    if node == "data" and cfg.task != "pretrain" and not data.labelled:
        raise ValueError(
            "these images have no labels, so they only serve for pre-training: use task=pretrain, or choose data with "
            "labels and name these as data@pretrain_data=unlabelled pretrain_data.root=..."
        )
    if cfg.task != "prepare":
        data.use_prepared()
    if has_autoencoders(cfg):
        check_size(cfg, data)
    return data if poison is None else PoisonedImages(data, read_poison(poison))


def check_size(cfg: DictConfig, data: ImageDataModule) -> None:
    """Refuse images that the autoencoder cannot take."""
    with torch.device("meta"):  # its sizes, not its weights
        smallest = make_autoencoder(cfg).smallest_image
    if data.smallest_side < smallest:
        raise ValueError(
            f"images of {data.smallest_side} pixels are too small for the autoencoder, which needs {smallest} or more: "
            "enlarge them (data.crop or data.size), or choose autoencoder=segnet_compact"
        )


def has_autoencoders(cfg: DictConfig) -> bool:
    """Whether the study has autoencoders; ``autoencoder=none`` makes it one of classifiers alone."""
    return "_target_" in (cfg.autoencoder.network or {})


def require_autoencoders(cfg: DictConfig, what: str) -> None:
    """Refuse what cannot be done without autoencoders in a study that has none."""
    if not has_autoencoders(cfg):
        raise ValueError(
            f"{what} needs autoencoders, and autoencoder=none says that there are none: choose one, as "
            "autoencoder=segnet_compact"
        )


def make_autoencoder(cfg: DictConfig, weights: Path | None = None) -> SegNet:
    """The autoencoder, with the weights of a file if one is given."""
    autoencoder: SegNet = instantiate(cfg.autoencoder.network, "autoencoder.network")
    if weights is not None:
        load_weights(autoencoder, weights)
    return autoencoder


def require(path: Path, cfg: DictConfig, step: str) -> Path:
    """A path that must be there, or the command that makes it."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Make it with: python run.py task={step} study={cfg.study}")
    return path


def settings_of(cfg: DictConfig, *keys: str, data: str = "data") -> dict[str, Any]:
    """The part of a configuration that decides what a step makes: these keys, the data, the seed and the precision."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    images = {key: value for key, value in plain[data].items() if key != "poison" or value is not None}
    chosen = {"data": images} | {key: plain[key] for key in keys}
    return without(chosen, NOT_DECISIVE) | {"seed": cfg.seed, "precision": cfg.trainer.precision}


def without(tree: Any, keys: set[str]) -> Any:
    """Nested mappings without some keys."""
    if not isinstance(tree, dict):
        return tree
    return {key: without(value, keys) for key, value in tree.items() if key not in keys}


def weights_artifact(
    path: Path, settings: dict[str, Any], data: ImageDataModule, inputs: dict[str, str] | None = None
) -> Artifact:
    """A weights file of a study: precious, made from the images and from other inputs, given by their fingerprints."""
    inputs = {"images": data.fingerprint()} | (inputs or {})
    return Artifact([path], path.with_suffix(".json"), settings, inputs, precious=True)


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
    plugins: list[Any] = [WholeFileCheckpointIO()]
    if SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))  # callbacks.Checkpointing and the launcher see to it
    trainer = pl.Trainer(
        **{key: value for key, value in cfg.trainer.items() if key not in OWN_TRAINER_KEYS},
        **limits,
        plugins=plugins,
        logger=list(loggers),
        callbacks=[*callbacks, RichProgressBar(leave=False)] if show_progress else list(callbacks),
        enable_progress_bar=show_progress,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1_000_000,  # epochs are logged, not steps
        use_distributed_sampler=False,  # the datamodules know who sees what
        num_sanity_val_steps=0,
    )
    # Lightning's handlers talk to the other ranks at any moment, and end the program with status 0
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
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
    changed: DictConfig = OmegaConf.merge(cfg, {"trainer": changes})  # type: ignore[assignment]
    return changed


def accelerate(cfg: DictConfig, *networks: nn.Module) -> None:
    """Lay networks out and compile them as ``trainer.channels_last`` and ``trainer.compile`` want, in place."""
    for network in networks:
        if cfg.trainer.channels_last:
            network.to(memory_format=torch.channels_last)
        if cfg.trainer.compile:
            parts = [network.encoder, network.decoder] if isinstance(network, SegNet) else [network]
            for part in parts:
                part.compile()


def quiet_lightning() -> None:
    """Keep Lightning's notices about the machine, and advice that does not apply here, off the screen."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*recommended to use .*devices=1, num_nodes=1.*",
        r".*module\(s\) in eval mode at the start of training.*",  # frozen on purpose
        ".*LeafSpec.* is deprecated.*",  # Lightning's own call
        ".*your dataloader is not resumable.*",  # its sampler is
        ".*`srun` command is available on your system but is not used.*",  # one process is enough for one device
        ".*`IterableDataset` has `__len__` defined.*",  # and it is right
    ):
        warnings.filterwarnings("ignore", message=message)
