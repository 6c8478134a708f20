"""The loggers of a job: opened before its work, closed after, whatever happens."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from callbacks.loggers import FaultTolerantLogger, RunName, first_line
from datamodules.base import ImageDataModule, Split
from study.configuration.environment import by_name
from study.configuration.instantiation import instantiate
from study.console import is_first_rank, say
from study.jobs import refuse_link


@contextmanager
def open_loggers(
    cfg: DictConfig, job: Path, identity: str, keep_log: bool = False
) -> Iterator[list[FaultTolerantLogger]]:
    """Open every logger of the configuration for a job, with the whole configuration noted; none on other ranks.

    Args:
        cfg: The configuration.
        job: The job's folder.
        identity: What tells the job from one with other settings or inputs.
        keep_log: Whether the log of an earlier run that was interrupted stays.
    """
    if not is_first_rank():
        yield []
        return
    put_away_log(job, keep_log)
    run = RunName(str(cfg.study), job.name, identity)
    loggers = []
    for title, config in cfg.logger.items():
        try:
            opened = instantiate(config, f"logger.{title}", "logger", save_dir=str(job), run=run, say=say)
        except InstantiationException as error:
            cause = error.__cause__ or error
            if isinstance(cause, ModuleNotFoundError):
                raise ValueError(f"logger={title} needs {cause.name}: pip install {cause.name}") from error
            if isinstance(cause, TypeError | ValueError):
                raise  # the configuration is wrong
            say(f"[yellow]{title} cannot be opened[/yellow], the job goes on without it: {first_line(cause)}")
            continue
        loggers.append(FaultTolerantLogger(opened, str(title), say))
    settings = by_name(OmegaConf.to_container(cfg, resolve=True))
    for logger in loggers:
        logger.log_hyperparams(settings)
    well = False
    try:
        yield loggers
        well = True
    finally:
        for logger in loggers:
            logger.close(well)


def put_away_log(job: Path, keep: bool) -> None:
    """Make room for a log: the earlier parts of a training that goes on are numbered, all others removed."""
    if not keep:
        for log in logs(job):
            shutil.rmtree(log)
    elif (job / "log").exists():
        (job / "log").rename(job / f"log-{len(logs(job))}")


def logs(job: Path) -> list[Path]:
    """The logs of a job, the numbered ones of interrupted parts too; nothing else with such a name.

    Raises:
        ValueError: If one is a link; names it.
    """
    found = [path for path in job.glob("log*") if re.fullmatch(r"log(-\d+)?", path.name)]
    for path in found:
        refuse_link(path)
    return [path for path in found if path.is_dir()]


def fixed_images(data: ImageDataModule, name: Split, count: int) -> Tensor:
    """The same images of a split every time, spread evenly over it: in [0, 1], shape ``(count, 3, H, W)``."""
    split = data.split(name)
    if hasattr(split, "__getitem__"):
        places = torch.linspace(0, len(split) - 1, min(count, len(split))).round().long().tolist()
        images = [split[place][0] for place in places]
    else:
        images = [image for image, *_ in islice(iter(split), count)]  # a stream
    return torch.stack(images).float() / 255
