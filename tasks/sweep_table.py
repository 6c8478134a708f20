"""``task=sweep_table``: the jobs of a sweep, or of several studies, as one table and one figure."""

from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from report.figures.style import save_figure
from report.figures.sweep import sweep_figure
from stats.csv_text import csv_bytes
from stats.sweeps import factors, means, sweep_table
from study.console import say, say_made, show_table
from study.files import whole_file
from study.folder import study_folder
from study.jobs import CONFIG, checked_config, checked_record, failures_of_ranks
from study.loggers import open_loggers
from study.step import read_metrics


def run(cfg: DictConfig) -> float:
    """Write ``sweep/jobs.csv`` and a figure into the study, show the means; returns the share of finished jobs."""
    options, folder = cfg.sweep_table, study_folder(cfg).root
    patterns = [str(cfg.study)] if options.studies is None else list(options.studies)
    jobs = [job for pattern in patterns for path in sorted(Path(cfg.studies).glob(pattern)) for job in read_jobs(path)]
    jobs = [job for job in jobs if job["task"] not in ("sweep_table", "study", "report")]
    if not jobs:
        raise ValueError(f"no jobs in {cfg.studies}/{{{','.join(patterns)}}}: run a sweep first, or correct the names")
    tasks = pd.Series([job["task"] for job in jobs])
    task = options.task or tasks.mode()[0]
    table = sweep_table([job for job in jobs if job["task"] == task])
    if options.number not in table or table[options.number].isna().all():
        numbers = [str(name) for name in table.select_dtypes("number").columns if table[name].notna().any()]
        raise ValueError(f"no job has sweep_table.number={options.number}; choose from {', '.join(numbers)}")
    csv, png, pdf = (folder / "sweep" / f"jobs.{suffix}" for suffix in ("csv", "png", "pdf"))
    with whole_file(csv) as temporary:
        temporary.write_bytes(csv_bytes(table))
    figure = sweep_figure(table, options.number, factors(table))
    with whole_file(png) as temporary_png, whole_file(pdf) as temporary_pdf:
        save_figure(figure, temporary_png, temporary_pdf)
    with open_loggers(cfg, folder / "jobs" / "sweep_table", str(sorted(table["job"]))) as loggers:
        for board in loggers:
            board.log_table("sweep", table)
            board.log_figure("sweep", figure)
    show(table, options.number, task)
    say_made(csv)
    return float((table["status"] == "finished").mean())


def read_jobs(study: Path) -> list[dict[str, Any]]:
    """What is known of every job of a study."""
    found = []
    for folder in sorted(study.glob("jobs/*")):
        try:
            record = checked_record(folder)
            if "config_sha256" not in record or not (folder / CONFIG).exists():
                continue  # it has not begun
            config: Any = OmegaConf.to_container(OmegaConf.create(checked_config(folder, record)), resolve=False)
            overrides = dict(override.split("=", 1) for override in record["overrides"] if "=" in override)
            known = {"task": config["task"], "seed": config["seed"], "classifier": config["classifier"].get("name")}
            metrics = read_metrics(folder)
        except (OSError, ValueError, LookupError, AttributeError, TypeError, YAMLError) as error:
            raise ValueError(
                f"the record of {folder} is damaged ({error}): move the folder away, or run the job again"
            ) from error
        errors = [str(record["error"])] if record.get("error") else failures_of_ranks(folder)
        found.append(
            {key: record.get(key) for key in ("status", "objective", "seconds")}
            | {"study": study.name, "job": folder.name}
            | known
            | ({} if "-" in folder.name else {"classifier": None})
            | {"overrides": overrides, "error": "; ".join(errors) or None}
            | {"metrics": metrics}
        )
    return found


def show(table: pd.DataFrame, number: str, task: str) -> None:
    """Print the means over seeds, and what has not finished."""
    summary = means(table, number)
    rows = [
        [*map(str, row[:-3]), f"{row[-3]:.4g}", "" if pd.isna(row[-2]) else f"± {row[-2]:.2g}", str(row[-1])]
        for row in summary.itertuples(index=False)
    ]
    show_table(f"{number} of task={task}", [*summary.columns[:-3], "mean", "deviation", "jobs"], rows)
    for row in table[table["status"] != "finished"].to_dict("records"):
        say(f"[yellow]{row['study']}/{row['job']}: {row['status']}[/yellow] {row['error'] or ''}")
