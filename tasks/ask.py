"""``task=ask``: what one network likes to see, in minutes: its decisions, bits, bands and patterns, and a page."""

from omegaconf import DictConfig

from study.configuration.names import entry_name
from tasks import study


def run(cfg: DictConfig) -> float:
    """Run every step of a study of one classifier without autoencoders; each skips what exists already.

    Returns:
        The objective of the last analysis.

    Raises:
        ValueError: If the study has several classifiers or none was named; says what to write.
    """
    names = [entry_name(entry) for entry in cfg.classifiers]
    if len(names) != 1:
        raise ValueError(
            f"task=ask is about one network, and there are {len(names)} ({', '.join(names)}): name it, as "
            "classifier=torchvision/resnet50; task=study compares several"
        )
    return study.run(cfg)
