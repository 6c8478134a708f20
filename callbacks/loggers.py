"""Loggers of a job: dashboards and log files that never stop the job when they fail."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

Say = Callable[[str], None]


class RunName:
    """The name of a job in a dashboard.

    Args:
        study: The study; its runs form a group.
        job: The job's name.
        identity: Hash of the job's settings and inputs.

    Attributes:
        id: Always the same for the same job, so that a resumed job continues its run.
    """

    def __init__(self, study: str, job: str, identity: str) -> None:
        self.study, self.job = study, job
        self.id = hashlib.sha256(repr((study, job, identity)).encode()).hexdigest()[:12]


class FaultTolerantLogger(Logger):
    """A logger that may fail: it then prints one line, and the job continues without it.

    Args:
        logger: The logger.
        title: Its name for people.
        say: Prints a line.

    Attributes:
        trainer: Its count of optimiser steps is the step of every entry. The step that Lightning passes to loggers is
            one too small within a validation and after a resumption.
    """

    def __init__(self, logger: Logger, title: str, say: Say) -> None:
        super().__init__()
        self.trainer: pl.Trainer | None = None
        self.logger, self.title, self.say = logger, title, say
        self.broken = False

    @property
    def name(self) -> str | None:
        """The logger's name."""
        return self.logger.name

    @property
    def version(self) -> int | str | None:
        """The logger's version."""
        return self.logger.version

    @property
    def shows_pictures(self) -> bool:
        """Whether the logger takes images, tables and figures."""
        return not self.broken and isinstance(self.logger, WandbLogger | TensorBoardLogger)

    def attempt(self, action: Callable[[], Any]) -> None:
        """Do something with the logger; an exception ends the logging, not the job."""
        if self.broken:
            return
        try:
            action()
        except Exception as error:  # services, networks and disks fail in many ways, and none may stop a training
            self.broken = True
            self.say(f"[yellow]{self.title} failed and logs no more[/yellow], the job goes on: {first_line(error)}")
            if isinstance(self.logger, WandbLogger):
                forget_wandb_service()

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log the configuration."""
        self.attempt(lambda: self.logger.log_hyperparams(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers."""
        now = step if self.trainer is None else self.trainer.global_step  # see the attribute: Lightning's is too small
        self.attempt(lambda: self.logger.log_metrics(dict(metrics), now))

    def log_picture(self, key: str, picture: Tensor, step: int = 0) -> None:
        """Log an image ``(3, H, W)`` in [0, 1]."""
        self._show(key, lambda: wandb_image(picture), lambda board: board.add_image(key, picture, step), step)

    def log_figure(self, key: str, figure: Figure) -> None:
        """Log a figure."""
        self._show(key, lambda: wandb_image(figure), lambda board: board.add_figure(key, figure))

    def log_table(self, key: str, table: pd.DataFrame, pictures: Sequence[Tensor] = ()) -> None:
        """Log a table with its index, and perhaps an image ``(3, H, W)`` for each row."""
        plain = table.reset_index()
        self._show(key, lambda: wandb_table(plain, pictures), lambda board: board.add_text(key, markdown(plain)))

    def _show(
        self, key: str, for_wandb: Callable[[], Any], on_tensorboard: Callable[[Any], Any], step: int = 0
    ) -> None:
        """Log what only wandb and TensorBoard take; it is made within the attempt, because that may fail as well."""
        logger = self.logger
        if isinstance(logger, WandbLogger):
            self.attempt(lambda: logger.experiment.log({key: for_wandb()}, step=step))
        elif isinstance(logger, TensorBoardLogger):
            self.attempt(lambda: on_tensorboard(logger.experiment))

    def save(self) -> None:
        """Flush the logger."""
        self.attempt(self.logger.save)

    def finalize(self, status: str) -> None:
        """Flush only: Lightning calls this after every stage, and the run continues."""
        self.attempt(self.logger.save)

    def close(self, well: bool) -> None:
        """End the run."""
        logger = self.logger

        def end() -> None:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish(exit_code=0 if well else 1)
            else:
                logger.finalize("success" if well else "failed")

        self.attempt(end)


class SteppedWandbLogger(WandbLogger):
    """wandb with the optimiser step as its step, so that the parts of a run interrupted offline fit together."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers at an optimiser step."""
        # Lightning's version logs the step as one more number and lets wandb count entries from 0 in each part
        self.experiment.log(dict(metrics), step=step)


def csv_log(save_dir: str, run: RunName, say: Say) -> CSVLogger:
    """A table of the numbers, ``log/metrics.csv`` in the job's folder."""
    return CSVLogger(save_dir, name="", version="log")


def tensorboard_log(save_dir: str, run: RunName, say: Say) -> TensorBoardLogger:
    """TensorBoard's files, in ``tensorboard/`` of the job's folder; needs the extra ``tensorboard``."""
    # Without an hp_metric, which Lightning would log as -1
    return TensorBoardLogger(save_dir, name="", version="tensorboard", default_hp_metric=False)


def wandb_log(
    save_dir: str,
    run: RunName,
    say: Say,
    *,
    project: str,
    entity: str | None,
    mode: Literal["online", "offline"],
    tags: Sequence[str],
    seconds: int,
) -> WandbLogger:
    """A wandb run: one per job, grouped by study; the same job always has the same id.

    Args:
        save_dir: The job's folder; wandb writes below it.
        run: Name and id of the run.
        say: Prints a line.
        project: wandb's project.
        entity: wandb's user or team; ``None`` is the default one.
        mode: ``online``, or ``offline`` to upload later; without a network, online becomes offline.
        tags: The run's tags.
        seconds: How long to wait for the network at the start; four times as long for the last uploads.
    """
    import requests
    import wandb

    Path(save_dir).mkdir(parents=True, exist_ok=True)
    known = {"entity": entity, "project": project, "group": run.study, "name": run.job, "id": run.id}
    options: dict[str, Any] = known | {"job_type": run.job.split("-")[0], "tags": list(tags), "dir": save_dir}
    settings: dict[str, Any] = {"silent": True, "console": "off", "init_timeout": float(seconds)}
    settings |= {"finish_timeout": float(4 * seconds), "finish_timeout_raises": True}
    try:
        if mode == "online":  # tried without wandb first, because after a failed wandb.init the next one fails, too
            requests.get(wandb.setup().settings.base_url, timeout=seconds)
        experiment = wandb.init(**options, mode=mode, resume="allow", settings=wandb.Settings(**settings))
    except (wandb.Error, OSError) as error:  # no network, no account
        if mode == "offline":
            raise
        say(f"[yellow]wandb cannot be reached[/yellow] ({first_line(error)}): logging offline; see docs/wandb.md")
        experiment = offline_run(options, settings)
    return SteppedWandbLogger(experiment=experiment, save_dir=save_dir, project=project)


def offline_run(options: dict[str, Any], settings: dict[str, Any]) -> Any:
    """An offline run instead of one that could not start; wandb's service may hold its id for some seconds."""
    import wandb

    def start() -> Any:
        forget_wandb_service()
        return wandb.init(**options, mode="offline", settings=wandb.Settings(**settings))

    for _ in range(9):
        with contextlib.suppress(wandb.Error):
            return start()
        time.sleep(1)
    return start()


def forget_wandb_service() -> None:
    """Give up a wandb service that may be dead: the next run of this process starts another one."""
    import wandb

    with contextlib.suppress(Exception):  # it is given up, whatever its state
        wandb.teardown()


def wandb_image(picture: Tensor | Figure) -> Any:
    """A figure, or an image ``(3, H, W)`` in [0, 1], as wandb takes it."""
    import wandb

    if isinstance(picture, Figure):
        return wandb.Image(picture)
    pixels = (picture.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return wandb.Image(np.ascontiguousarray(pixels.cpu().numpy()))


def wandb_table(table: pd.DataFrame, pictures: Sequence[Tensor]) -> Any:
    """A table as wandb takes it, with an image for each row where there are some."""
    import wandb

    columns: list[str | int] = [str(name) for name in table.columns]
    rows: list[Any] = table.to_numpy().tolist()
    if pictures:
        columns.insert(1, "images")
        rows = [[row[0], wandb_image(image), *row[1:]] for row, image in zip(rows, pictures, strict=True)]
    return wandb.Table(columns=columns, data=rows)


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    lines += [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in table.to_numpy()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def first_line(error: BaseException) -> str:
    """The beginning of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
