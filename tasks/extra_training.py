"""``task=extra_training``: a control, A_S trained on for as long as every A_i, but by mean squared error alone."""

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightning_modules import Pretraining
from study import build
from study.console import say_skipped
from study.folder import sha256
from study.instantiation import instantiate
from study.training import train


def run(cfg: DictConfig) -> float:
    """Train A_S on with fine-tuning's settings and no classifier, and return the validation loss."""
    options, folder = cfg.finetune, build.study_folder(cfg)
    data = build.make_data(cfg, options.batch_size, options.augmentation)
    path = folder.control("extra_training")
    inputs = {"pretrained autoencoder": sha256(build.require(folder.pretrained, cfg, "pretrain"))}
    artifact = build.weights_artifact(path, build.settings_of(cfg, "autoencoder", "finetune"), data, inputs)
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    autoencoder = build.make_autoencoder(cfg, folder.pretrained)
    build.accelerate(cfg, autoencoder)
    module = Pretraining(
        autoencoder, instantiate(options.optimizer, "finetune.optimizer"), options.schedule, options.trained
    )
    return train(
        cfg,
        module,
        data,
        length=build.Length(options.epochs),
        job=folder.job("extra_training"),
        network=autoencoder,
        artifact=artifact,
        objective="val/loss",
    )
