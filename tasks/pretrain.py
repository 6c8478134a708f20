"""``task=pretrain``: A_S, the autoencoder that all others start from."""

from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightning_modules import Pretraining
from tasks import build
from tasks.terminal import say_skipped
from tasks.training import train


def run(cfg: DictConfig) -> float:
    """Train the autoencoder by mean squared error, or take the weights given, and return its validation loss."""
    options, path = cfg.pretrain, build.study_folder(cfg).pretrained
    data = build.make_data(cfg, options.batch_size)
    given = {"autoencoder.weights": Path(cfg.autoencoder.weights)} if cfg.autoencoder.weights else {}
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    autoencoder = build.make_autoencoder(cfg, given.get("autoencoder.weights"))
    artifact = build.weights_artifact(path, build.settings_of(cfg, "autoencoder", "pretrain"), data, given)
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    module = Pretraining(autoencoder, build.instantiate(options.optimizer, "pretrain.optimizer"), options.schedule)
    return train(
        cfg,
        module,
        data,
        epochs=0 if given else options.epochs,
        job=build.study_folder(cfg).job("pretrain"),
        network=autoencoder,
        artifact=artifact,
        objective="val/loss",
    )
