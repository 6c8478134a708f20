"""What the classes of a classifier are called."""

from pathlib import Path

from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.imagenet_classes import imagenet_classes
from networks.declared import stated_names


def class_names(config: DictConfig, data: ImageDataModule, count: int) -> list[str]:
    """What the classes of a classifier are called.

    Args:
        config: The classifier.
        data: The images of the study, whose names are used if they have labels and as many classes.
        count: Number of classes.
    """
    if config.get("class_names") is not None:
        return given_names(config, count)
    source = config.preprocessing.get("source")  # of a user's own network
    stated = None if source is None else stated_names(source, config.weights)
    if stated is not None:
        return counted(stated, f"that {config.name} states", count)
    if data.labelled and len(data.classes) == count:
        return data.classes
    names = list(imagenet_classes().values())
    if config.published is not None and count == len(names):
        return names
    return [f"class {number}" for number in range(count)]


def given_names(config: DictConfig, count: int) -> list[str]:
    """The names of classes that the command gives: a list, or a text file with one in each line."""
    given = config.class_names
    if isinstance(given, str):
        if not Path(given).is_file():
            raise FileNotFoundError(f"class_names={given} of classifier {config.name} does not exist: correct the path")
        names = Path(given).read_text(encoding="utf-8").splitlines()
    else:
        names = [str(name) for name in given]
    return counted(names, f"of classifier {config.name}", count)


def counted(names: list[str], whose: str, count: int) -> list[str]:
    """Names of classes, one for each logit."""
    if len(names) != count:
        raise ValueError(f"class_names {whose} are {len(names)}, and it has {count} classes: give one for each logit")
    return names
