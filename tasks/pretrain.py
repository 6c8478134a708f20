"""``task=pretrain``: A_S, the autoencoder that all others start from."""

from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from lightning_modules import Pretraining
from study.artifact import settings_of, weights_artifact
from study.autoencoders import make_autoencoder
from study.console import say_skipped
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.instantiation import instantiate
from study.trainer import Length, accelerate
from study.training import train


def run(cfg: DictConfig) -> float:
    """Train the autoencoder by mean squared error, or take the weights given, and return its validation loss."""
    folder = study_folder(cfg)
    return pretrain(cfg, folder.pretrained, folder.job("pretrain"))


def pretrain(cfg: DictConfig, path: Path, job: Path) -> float:
    """Train an autoencoder from the beginning, keep its weights at ``path``, and return its validation loss."""
    options = cfg.pretrain
    node = "pretrain_data" if "pretrain_data" in cfg else "data"
    data = make_data(cfg, options.batch_size, options.augmentation, node)
    given = {"autoencoder.weights": Path(cfg.autoencoder.weights)} if cfg.autoencoder.weights else {}
    length = Length(0) if given else training_length(cfg, data)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    autoencoder = make_autoencoder(cfg, given.get("autoencoder.weights"))
    inputs = {name: sha256(file) for name, file in given.items()}
    settings = settings_of(cfg, "autoencoder", "pretrain", data=node)
    artifact = weights_artifact(path, settings, data, inputs)
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    accelerate(cfg, autoencoder)
    optimizer = instantiate(options.optimizer, "pretrain.optimizer")
    module = Pretraining(autoencoder, optimizer, options.schedule, "both")
    return train(
        cfg,
        module,
        data,
        length=length,
        job=job,
        network=autoencoder,
        artifact=artifact,
        objective="val/loss",
    )


def training_length(cfg: DictConfig, data: ImageDataModule) -> Length:
    """Epochs, or as many steps as the budget of images allows, with a loss check every so many images."""
    options, batch = cfg.pretrain, cfg.pretrain.batch_size
    images = options.images
    if data.single_pass:
        there = len(data.split("train"))
        images = there if images is None else images
        if images > there:
            raise ValueError(
                f"pretrain.images={images:,} are more than the {there:,} training images, and each may be seen only "
                "once: lower it, or add shards"
            )
    if images is None:
        return Length(options.epochs)
    if images < batch:
        raise ValueError(f"pretrain.images={images} is less than one batch of {batch}: raise it")
    batches = max(1, options.check_every // batch) * cfg.trainer.accumulate_grad_batches
    return Length(steps=images // batch, check_every=batches)
