"""``task=pretrain``: A_S, the autoencoder that all others start from."""

from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightning_modules import Pretraining
from tasks import build
from tasks.study_folder import save_weights
from tasks.terminal import say_made, say_skipped


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
    trainer = build.make_trainer(cfg, build.study_folder(cfg).job("pretrain"), options.epochs)
    if not given:
        trainer.fit(module, datamodule=data)
    [results] = trainer.validate(module, datamodule=data, verbose=False)
    loss = results["val/loss"]
    if trainer.is_global_zero:
        with artifact.making(loss) as temporary:
            save_weights(autoencoder, temporary[path])
    trainer.strategy.barrier()
    say_made(path, **{"validation loss": loss})
    return loss
