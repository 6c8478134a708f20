"""From a composed configuration to plain objects, and to what an artifact was made with."""

import difflib
import logging
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import hydra.utils
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.loggers import Logger

from datamodules.base import ImageDataModule
from networks.classifier import Classifier, freeze
from networks.segnet import SegNet
from networks.weights import load_weights
from tasks.study_folder import Artifact, StudyFolder, sha256

CLASSIFIER_CONFIGS = Path(__file__).resolve().parents[1] / "conf" / "classifier"
TRUSTED_PACKAGES = (
    "datamodules", "lightning_modules", "metrics", "networks",
    "pytorch_lightning", "timm", "torch", "torchmetrics", "torchvision",
)  # fmt: skip
NOT_DECISIVE = {"workers", "root", "weights", "label"}  # of files, the content counts (an input), not the path


def instantiate(config: DictConfig, key: str, **arguments: Any) -> Any:
    """Make the object a config node describes; only the project's own and the field's packages may be named."""
    target = str(config.get("_target_"))
    if target.split(".")[0] not in TRUSTED_PACKAGES:
        raise ValueError(f"{key}._target_={target} is not allowed: use one of {', '.join(TRUSTED_PACKAGES)}")
    return hydra.utils.instantiate(config, **arguments)


def study_folder(cfg: DictConfig) -> StudyFolder:
    """The folder that ``studies`` and ``study`` name."""
    return StudyFolder(Path(cfg.studies) / str(cfg.study))


def make_data(cfg: DictConfig, batch_size: int = 2) -> ImageDataModule:
    """The images, in batches of ``batch_size`` over all devices."""
    if OmegaConf.is_missing(cfg.data, "root"):
        raise ValueError("data.root is not set: name the folder that holds train/ and val/, as data.root=/data/pets")
    data: ImageDataModule = instantiate(cfg.data, "data", batch_size=batch_size, seed=cfg.seed)
    with torch.device("meta"):  # its sizes, not its weights
        smallest = make_autoencoder(cfg).smallest_image
    if data.smallest_side < smallest:
        raise ValueError(
            f"images of {data.smallest_side} pixels are too small for the autoencoder, which needs {smallest} or more: "
            "enlarge them (data.crop or data.size), or choose autoencoder=segnet_compact"
        )
    return data


def make_autoencoder(cfg: DictConfig, weights: Path | None = None) -> SegNet:
    """The autoencoder, with the weights of a file if one is given."""
    autoencoder: SegNet = instantiate(cfg.autoencoder.network, "autoencoder.network")
    if weights is not None:
        load_weights(autoencoder, weights)
    return autoencoder


def make_classifier(config: DictConfig, data: ImageDataModule) -> Classifier:
    """A classifier as its config file describes it, without its weights, for as many classes as the data has."""
    classes = len(data.classes) if config.classes is None else config.classes
    if classes > len(data.classes):
        raise ValueError(
            f"classifier {config.name} has {classes} classes, the data only {len(data.classes)}: "
            "use data with the classes it was trained on, or another classifier"
        )
    return Classifier(instantiate(config.network, "classifier.network", classes=classes), size=config.size)


def load_classifier(cfg: DictConfig, config: DictConfig, data: ImageDataModule) -> Classifier:
    """A frozen classifier with its weights: its own file's, or those trained in the study."""
    classifier = make_classifier(config, data)
    load_weights(classifier, classifier_weights(cfg, config))
    freeze(classifier)
    return classifier


def classifier_weights(cfg: DictConfig, config: DictConfig) -> Path:
    """Where a classifier's weights are: ``classifier.weights``, or the study folder."""
    return Path(config.weights) if config.weights else study_folder(cfg).classifier(config.name)


def require_classifier(cfg: DictConfig, config: DictConfig) -> Path:
    """The path of a classifier's weights, which must be there."""
    path = classifier_weights(cfg, config)
    return require(path, cfg, f"train_classifier classifier={config.name}")


def require(path: Path, cfg: DictConfig, step: str) -> Path:
    """A path that must be there, or the command that makes it."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Make it with: python run.py task={step} study={cfg.study}")
    return path


def study_classifiers(cfg: DictConfig) -> dict[str, DictConfig]:
    """The config of each classifier of the study: of the one ``classifier=`` chose as it is, else its file's."""
    configs: dict[str, DictConfig] = {}
    for name in cfg.classifiers:
        path = CLASSIFIER_CONFIGS / f"{name}.yaml"
        if name == cfg.classifier.name:
            configs[name] = cfg.classifier
        elif path.exists():
            loaded = OmegaConf.load(path)
            assert isinstance(loaded, DictConfig)
            configs[name] = loaded
        else:
            known = sorted(entry.stem for entry in CLASSIFIER_CONFIGS.glob("*.yaml"))
            near = difflib.get_close_matches(name, known) or known
            raise ValueError(f"classifiers: there is no conf/classifier/{name}.yaml; did you mean {', '.join(near)}?")
    if not configs:
        raise ValueError("classifiers is empty: name at least one, as classifiers=[vgg_compact]")
    return configs


def settings_of(cfg: DictConfig, *keys: str) -> dict[str, Any]:
    """The part of a configuration that decides what a step makes: these keys, the data, the seed and the precision."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    chosen = {key: plain[key] for key in ("data", *keys)}
    for value in chosen.values():
        if isinstance(value, dict):
            for key in NOT_DECISIVE & value.keys():
                del value[key]
    return chosen | {"seed": cfg.seed, "precision": cfg.trainer.precision}


def weights_artifact(
    path: Path, settings: dict[str, Any], data: ImageDataModule, inputs: dict[str, Path] | None = None
) -> Artifact:
    """A weights file of a study: precious, made from the images and from other files."""
    fingerprints = {name: sha256(file) for name, file in (inputs or {}).items()}
    return Artifact(
        [path], path.with_suffix(".json"), settings, {"images": data.fingerprint()} | fingerprints, precious=True
    )


def make_trainer(cfg: DictConfig, job: Path, epochs: int = 1) -> pl.Trainer:
    """A Trainer that logs into a job's folder, shows progress, and saves nothing by itself."""
    quiet_lightning()
    shutil.rmtree(job / "log", ignore_errors=True)  # of a run that was interrupted
    loggers: list[Logger] = [
        instantiate(config, f"logger.{name}", save_dir=str(job)) for name, config in cfg.logger.items()
    ]
    callbacks: list[Callback] = [RichProgressBar(leave=False)] if sys.stderr.isatty() else []
    return pl.Trainer(
        **cfg.trainer,
        max_epochs=max(1, epochs),
        check_val_every_n_epoch=max(1, epochs // 10),
        logger=loggers,
        callbacks=callbacks,
        enable_progress_bar=bool(callbacks),
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1_000_000,  # epochs are logged, not steps
        use_distributed_sampler=False,  # the datamodules know who sees what
        num_sanity_val_steps=0,
    )


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
    ):
        warnings.filterwarnings("ignore", message=message)
