"""``task=finetune``: A_i, the autoencoder trained on through one frozen classifier."""

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightning_modules import SignalAutoencoder
from tasks import build
from tasks.study_folder import save_weights
from tasks.terminal import say_made, say_skipped


def run(cfg: DictConfig) -> float:
    """Fine-tune A_S through ``cfg.classifier`` and return that classifier's validation accuracy on A_i."""
    config, options, folder = cfg.classifier, cfg.finetune, build.study_folder(cfg)
    data = build.make_data(cfg, options.batch_size)
    inputs = {
        "pretrained autoencoder": build.require(folder.pretrained, cfg, "pretrain"),
        f"classifier {config.name}": build.require_classifier(cfg, config),
    }
    path = folder.autoencoder(config.name)
    artifact = build.weights_artifact(
        path, build.settings_of(cfg, "autoencoder", "classifier", "finetune"), data, inputs
    )
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    autoencoder = build.make_autoencoder(cfg, folder.pretrained)
    module = SignalAutoencoder(
        autoencoder,
        build.load_classifier(cfg, config, data),
        len(data.classes),
        build.instantiate(options.optimizer, "finetune.optimizer"),
        options.schedule,
        options.trained,
    )
    trainer = build.make_trainer(cfg, folder.job("finetune", config.name), options.epochs)
    trainer.fit(module, datamodule=data)
    [results] = trainer.validate(module, datamodule=data, verbose=False)
    accuracy = results["val/accuracy"]
    if trainer.is_global_zero:
        with artifact.making(accuracy) as temporary:
            save_weights(autoencoder, temporary[path])
    trainer.strategy.barrier()
    say_made(path, **{"validation accuracy": accuracy})
    return accuracy
