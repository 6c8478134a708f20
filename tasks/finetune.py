"""``task=finetune``: A_i, the autoencoder trained on through one frozen classifier."""

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightning_modules import SignalAutoencoder
from study import classifiers
from study.artifact import require, settings_of, weights_artifact
from study.autoencoders import make_autoencoder
from study.console import say_skipped
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.instantiation import instantiate
from study.labels import with_labels_of
from study.trainer import Length, accelerate
from study.training import train

# Of conf/objective; the published method has none of them.
PUBLISHED = {"anchor": 0.0, "energy": 0.0, "rate": 0.0, "tolerance": None, "noise": 0.0, "shift": 0}


def run(cfg: DictConfig) -> float:
    """Fine-tune A_S through ``cfg.classifier`` and return that classifier's validation accuracy on A_i."""
    config, options, folder = cfg.classifier, cfg.finetune, study_folder(cfg)
    cfg = with_labels_of(cfg, config)
    data = make_data(cfg, options.batch_size, options.augmentation)
    inputs = {
        "pretrained autoencoder": sha256(require(folder.pretrained, cfg, "pretrain")),
        f"classifier {config.name}": classifiers.weights_fingerprint(cfg, config),
    }
    siblings = classifiers.siblings(config, options.get("siblings", 0))
    inputs |= {f"classifier {sibling.name}": classifiers.weights_fingerprint(cfg, sibling) for sibling in siblings}
    path = folder.autoencoder(config.name, cfg.seed)
    artifact = weights_artifact(path, settings_of(cfg, "autoencoder", "classifier", "finetune"), data, inputs)
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    autoencoder = make_autoencoder(cfg, folder.pretrained)
    classifier = classifiers.load_classifier(cfg, config, data)
    accelerate(cfg, autoencoder, classifier)
    module = SignalAutoencoder(
        autoencoder,
        classifier,
        len(data.classes),
        instantiate(options.optimizer, "finetune.optimizer"),
        options.schedule,
        options.trained,
        nmi_bins=16,
        siblings=[classifiers.load_classifier(cfg, sibling, data) for sibling in siblings],
        **{name: options.get(name, off) for name, off in PUBLISHED.items()},
    )
    return train(
        cfg,
        module,
        data,
        length=Length(options.epochs),
        job=folder.job("finetune", config.name, cfg.seed),
        network=autoencoder,
        artifact=artifact,
        objective="val/accuracy",
    )
