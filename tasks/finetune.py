"""``task=finetune``: A_i, A_S trained on through one frozen classifier; or, as a control, without one."""

from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from lightning_modules.pretraining import Pretraining
from lightning_modules.signal_autoencoder import SignalAutoencoder
from study.artifact import settings_of, weights_artifact
from study.autoencoders import make_autoencoder
from study.classifiers import label_inputs, load_classifier, siblings, weights_fingerprint
from study.configuration.instantiation import instantiate
from study.data import make_data
from study.folder import study_folder
from study.labels import with_labels_of
from study.networks import pretrained_fingerprint
from study.step import Result, Step
from study.trainer import Length, accelerate
from study.training import train

OBJECTIVE = ("anchor", "energy", "rate", "tolerance", "noise", "shift")  # settings that conf/objective changes


def run(cfg: DictConfig) -> float:
    """Fine-tune A_S through ``cfg.classifier`` and return the validation accuracy of that classifier on A_i."""
    return extra_training(cfg) if cfg.finetune.extra_training else finetune(cfg)


def finetune(cfg: DictConfig) -> float:
    """A_i: the only loss is that of the classifier, unless the objective adds to it."""
    config, options, folder = cfg.classifier, cfg.finetune, study_folder(cfg)
    inputs = {"pretrained autoencoder": pretrained_fingerprint(cfg)}  # made with the labels of the images
    cfg = with_labels_of(cfg, config)
    data = make_data(cfg, options.batch_size, options.augmentation)
    through = [config, *siblings(config, options.siblings)]
    inputs |= {f"classifier {one.name}": weights_fingerprint(cfg, one) for one in through}
    settings = settings_of(cfg, "autoencoder", "classifier", "finetune")
    if decided := bool(config.get("decisions")):
        inputs |= label_inputs({config.name: config})
        settings |= {"labels": {"target": cfg.labels.target, "least_confidence": cfg.labels.least_confidence}}
    artifact = weights_artifact(folder.autoencoder(config.name, cfg.seed), settings, data, inputs)
    step = Step(artifact, folder.job("finetune", config.name, cfg.seed), cfg.seed)

    def make() -> Result:
        autoencoder = make_autoencoder(cfg, folder.pretrained)
        classifier, *others = [load_classifier(cfg, one, data) for one in through]
        accelerate(cfg, autoencoder, classifier)
        module = SignalAutoencoder(
            autoencoder,
            classifier,
            instantiate(options.optimizer, "finetune.optimizer", "optimizer"),
            options.schedule,
            options.trained,
            nmi_bins=cfg.cross_evaluate.nmi_bins,
            siblings=others,
            targets=cfg.labels.target if decided else "labels",
            least_confidence=cfg.labels.least_confidence,
            **{name: options[name] for name in OBJECTIVE},
        )
        return training(cfg, step, module, data, "val/accuracy")

    return step.run(make)


def extra_training(cfg: DictConfig) -> float:
    """A control: A_S trained on for as long as every A_i, by mean squared error alone; returns the validation loss."""
    options, folder = cfg.finetune, study_folder(cfg)
    data = make_data(cfg, options.batch_size, options.augmentation)
    inputs = {"pretrained autoencoder": pretrained_fingerprint(cfg)}
    path, settings = folder.control("extra_training"), settings_of(cfg, "autoencoder", "finetune")
    step = Step(weights_artifact(path, settings, data, inputs), folder.job("extra_training"), cfg.seed)

    def make() -> Result:
        autoencoder = make_autoencoder(cfg, folder.pretrained)
        accelerate(cfg, autoencoder)
        make_optimizer = instantiate(options.optimizer, "finetune.optimizer", "optimizer")
        module = Pretraining(autoencoder, make_optimizer, options.schedule, options.trained)
        return training(cfg, step, module, data, "val/loss")

    return step.run(make)


def training(
    cfg: DictConfig, step: Step, module: Pretraining | SignalAutoencoder, data: ImageDataModule, objective: str
) -> Result:
    """Train for the epochs of fine-tuning, and keep the autoencoder."""
    length = Length(cfg.finetune.epochs)
    return train(cfg, step, module, data, length=length, network=module.autoencoder, objective=objective)
