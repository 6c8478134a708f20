"""``task=extra_training``: a control, A_S trained on for as long as every A_i, but by mean squared error alone."""

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightning_modules import Pretraining
from study.artifact import require, settings_of, weights_artifact
from study.autoencoders import make_autoencoder
from study.console import say_skipped
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.instantiation import instantiate
from study.trainer import Length, accelerate
from study.training import train


def run(cfg: DictConfig) -> float:
    """Train A_S on with fine-tuning's settings and no classifier, and return the validation loss."""
    options, folder = cfg.finetune, study_folder(cfg)
    data = make_data(cfg, options.batch_size, options.augmentation)
    path = folder.control("extra_training")
    inputs = {"pretrained autoencoder": sha256(require(folder.pretrained, cfg, "pretrain"))}
    artifact = weights_artifact(path, settings_of(cfg, "autoencoder", "finetune"), data, inputs)
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    autoencoder = make_autoencoder(cfg, folder.pretrained)
    accelerate(cfg, autoencoder)
    module = Pretraining(
        autoencoder, instantiate(options.optimizer, "finetune.optimizer"), options.schedule, options.trained
    )
    return train(
        cfg,
        module,
        data,
        length=Length(options.epochs),
        job=folder.job("extra_training"),
        network=autoencoder,
        artifact=artifact,
        objective="val/loss",
    )
