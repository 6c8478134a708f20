"""``task=pretrain``: A_S, the autoencoder that all others start from, or a second one as a control."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from datamodules.base import ImageDataModule
from lightning_modules.pretraining import Pretraining
from study.artifact import settings_of, weights_artifact
from study.autoencoders import make_autoencoder
from study.configuration.instantiation import instantiate
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.labels import without_decisions
from study.networks import pretraining_images
from study.step import Result, Step
from study.trainer import Length, accelerate
from study.training import train


def run(cfg: DictConfig) -> float:
    """Train the autoencoder by mean squared error, or take the weights given, and return its validation loss."""
    folder = study_folder(cfg)
    if not cfg.pretrain.second_start:
        return pretrain(cfg, folder.pretrained, folder.job("pretrain"))
    if cfg.autoencoder.weights:
        raise ValueError("controls: second_start needs an A_S that is trained here; autoencoder.weights gives one")
    changed: DictConfig = OmegaConf.merge(cfg, {"seed": cfg.seed + 1})  # type: ignore[assignment]
    return pretrain(changed, folder.control("second_start"), folder.job("second_start"))


def pretrain(cfg: DictConfig, path: Path, job: Path) -> float:
    """Train an autoencoder from the beginning, keep its weights at ``path``, and return its validation loss."""
    cfg = without_decisions(cfg)  # no labels are needed
    options, node = cfg.pretrain, pretraining_images(cfg)
    data = make_data(cfg, options.batch_size, options.augmentation, node)
    given = Path(cfg.autoencoder.weights) if cfg.autoencoder.weights else None
    if given is not None and not given.is_file():
        raise FileNotFoundError(f"weights file {given} does not exist: correct autoencoder.weights")
    inputs = {} if given is None else {"autoencoder.weights": sha256(given)}
    length = training_length(cfg, data) if given is None else Length(0)
    artifact = weights_artifact(path, settings_of(cfg, "autoencoder", "pretrain", data=node), data, inputs)
    step = Step(artifact, job, cfg.seed)

    def make() -> Result:
        autoencoder = make_autoencoder(cfg, given)
        accelerate(cfg, autoencoder)
        make_optimizer = instantiate(options.optimizer, "pretrain.optimizer", "optimizer")
        module = Pretraining(autoencoder, make_optimizer, options.schedule, "both")
        return train(cfg, step, module, data, length=length, network=autoencoder, objective="val/loss")

    return step.run(make)


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
