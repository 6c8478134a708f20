"""Settings that every task has, and those of classifiers and trainers."""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from study.configuration.names import CONTROLS, check_apart, check_entry, check_folder, check_study
from study.settings.fields import Settings, setting


@dataclass
class Inputs(Settings):
    """Files that other steps made."""

    trusted: bool = setting(False, "use files that are not what their record says, such as weights made elsewhere")


@dataclass
class Labels(Settings):
    """The right classes of images."""

    source: str = setting(
        "automatic",
        "given: the labels of the data; decisions: what each frozen classifier predicts on the original image; "
        "automatic: decisions where the images have no labels or a classifier has other classes than the data",
        choices=("automatic", "given", "decisions"),
    )
    target: str = setting(
        "class",
        "what decisions are in the loss of fine-tuning: the predicted class, or the distribution over all classes",
        choices=("class", "distribution"),
    )
    least_confidence: float = setting(
        0.0, "images are left out on which a classifier is less confident of its decision", low=0, below=1
    )


@dataclass
class Network(Settings):
    """What the command says of the study's only classifier; null: what its file or its metadata say."""

    size: Any = setting(None, "side of its input in pixels; any: images as they are")
    resize: int | None = setting(None, "shorter side, in pixels, before the central square is cut out", low=1)
    mean: list[float] | None = setting(None, "per-channel mean that it was trained with, for pixels in [0, 1]")
    std: list[float] | None = setting(None, "per-channel standard deviation that it was trained with")
    interpolation: str | None = setting(None, "how pixels are resampled", choices=("bilinear", "bicubic", None))
    classes: int | None = setting(None, "number of its logits", low=2)
    class_names: Any = setting(None, "a list, or a text file with a name in each line")

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check the size."""
        size = node["size"]
        if size not in (None, "any") and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise ValueError(f"{key}.size={size}: give a whole number from 1 on, any, or null")


@dataclass
class Common(Settings):
    """The keys at the top level."""

    task: str = setting("study", "what to do; python run.py --help lists the tasks")
    study: str = setting("photographs", "name of the study; its folder is <studies>/<study>")
    studies: str = setting("studies", "folder of all studies")
    classifiers_from: str = setting("${study}", "study that keeps the classifiers trained here, if several share them")
    cache: str = setting("${studies}/cache", "indexes of image trees, prepared images; may be removed")
    seed: int = setting(0, "of weights, of the order of the images, of augmentation", low=0)
    seeds: list[int] | None = setting(
        None, "seeds of the A_i of task=study, as [0,1,2]; accuracies are averaged", low=0, least=1, unique=True
    )
    classifiers: list[str] = setting(
        ["alexnet_compact", "vgg_compact", "resnet_compact", "inception_compact"],
        "classifiers of the study: files of conf/classifier, torchvision/<name>, timm/<name>, "
        "module:<package.module.Class> or exported:<file.pt2>",
        least=1, unique=True,
    )  # fmt: skip
    classifier_settings: dict[str, Any] | None = setting(
        None, "changes to the files of classifiers: {alexnet:{weights:/data/alexnet.pth}}"
    )
    weights: str | None = setting(None, "weight file of the study's only classifier")
    network: Network = setting(Network(), "preprocessing and classes of the study's only classifier")
    trust: list[str] = setting(
        [], "packages of your own whose code may run (classifiers=[module:…]); on the command line only", unique=True
    )
    measurements: list[str] = setting([], "further tasks that task=study runs", unique=True)
    analyses: list[str] = setting(
        ["band_tolerance"], "further tasks that task=study runs and that need no autoencoders", unique=True
    )
    controls: list[str] = setting(
        [], "second_start, extra_training, and classifiers that are controls, as random_weights", unique=True
    )
    inputs: Inputs = setting(Inputs(), "files that other steps made")
    accuracy: str | None = setting(None, "CSV for task=order: a row per autoencoder, a column per classifier")
    layer: Any = setting(None, "for task=layer_features: a name, a list, {network: [names]}, or list to print them")
    images: str | None = setting(None, "for task=layer_features: a folder of images; null: the test images")
    log_every: int = setting(50, "optimiser steps between two entries of the log of a training", low=1)
    checkpoint_every: float = setting(60, "seconds between two checkpoints: what a kill loses at most", low=0)

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check what folders and files are named after."""
        for name in ("studies", "cache"):
            check_folder(node[name], name)
        for name in ("study", "classifiers_from"):
            check_apart(Path(node.studies) / check_study(node[name], name), Path(node.cache), name)
        for name in ("classifiers", "controls"):
            for entry in node[name]:
                if name != "controls" or entry not in CONTROLS:
                    check_entry(entry, name)


AUTOENCODER_KEYS = ("network", "weights")  # of conf/autoencoder
CLASSIFIER_KEYS = (  # of conf/classifier
    "name", "title", "network", "preprocessing", "published", "weights", "weights_seed", "classes",
    "labels", "labels_name", "poison", "adversary", "compressed", "class_names",
)  # fmt: skip


@dataclass
class Trainer(Settings):
    """The trainer of Lightning, and how networks are laid out in memory; conf/trainer has the values."""

    accelerator: str = setting(MISSING, "cpu, gpu, or another of Lightning's")
    devices: Any = setting(MISSING, "processes on each machine: a number, a list of devices, or auto")
    num_nodes: int = setting(MISSING, "machines", low=1)
    strategy: str = setting(MISSING, "auto or ddp")
    precision: str = setting(
        MISSING, "of the networks", choices=("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")
    )
    accumulate_grad_batches: int = setting(MISSING, "forward passes of an optimiser step", low=1)
    sync_batchnorm: bool = setting(MISSING, "batch statistics over all devices; GPUs only")
    channels_last: bool = setting(MISSING, "memory layout; a little faster, with other last bits")
    compile: bool = setting(MISSING, "whether networks are compiled with torch.compile")
    limit_train_batches: Any = setting(None, "batches or share of an epoch (conf/debug)")
    limit_val_batches: Any = setting(None, "batches or share of a validation (conf/debug)")
    overfit_batches: Any = setting(0.0, "batches to train on again and again (conf/debug)")
    profiler: str | None = setting(None, "simple, advanced or pytorch (conf/debug)")
