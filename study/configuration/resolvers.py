"""Resolvers of the configuration: the folder of a job, and the resources that it asks of a launcher."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from study.configuration.environment import read_decoded, read_variable
from study.configuration.names import check_classifier, check_folder, check_study


def ranks_per_node(*, _root_: DictConfig) -> int:
    """Processes that a job needs on each machine of a cluster: one for each device."""
    devices = _root_.trainer.devices
    if not isinstance(devices, int) or devices < 1:
        raise ValueError(f"trainer.devices={devices}: on a cluster, give the number of devices of each node")
    return devices


def gpus_per_node(*, _root_: DictConfig) -> int:
    """GPUs that a job needs on each machine."""
    return ranks_per_node(_root_=_root_) if _root_.trainer.accelerator in ("gpu", "cuda") else 0


def cpus_per_rank(*, _root_: DictConfig) -> int:
    """Processors for each rank: one to train, and one for each loading process."""
    return 1 + int(_root_.data.get("workers", 0))


def study_root(*, _root_: DictConfig) -> str:
    """The folder of the study; resolved before Hydra makes the folder of a job, so a wrong name makes none."""
    check_folder(_root_.studies, "studies")
    return str(Path(_root_.studies) / check_study(_root_.study, "study"))


def register_resolvers(job_name: Callable[[DictConfig], str]) -> None:
    """Make the resolvers known to OmegaConf.

    Args:
        job_name: Gives the name of the folder of the job that a configuration describes.
    """

    def name_of_job(*, _root_: DictConfig) -> str:
        if OmegaConf.is_missing(_root_.classifier, "name"):
            raise ValueError("classifier.name is not set: name one of the library, as classifier.name=resnet18")
        check_classifier(_root_.classifier.get("name"), "classifier.name")
        return job_name(_root_)

    for resolver in (ranks_per_node, gpus_per_node, cpus_per_rank, study_root):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
    OmegaConf.register_new_resolver("job_name", name_of_job, replace=True)
    OmegaConf.register_new_resolver("oc.env", read_variable, replace=True)
    OmegaConf.register_new_resolver("oc.decode", read_decoded, replace=True)
