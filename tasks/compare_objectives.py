"""``task=compare_objectives``: how far planted cues are separated, by autoencoders and by bands, in several studies."""

import re
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from report.tables import read_table
from stats.csv_text import csv_bytes
from stats.cue_retention import ENDS, ROWS, probe_retention, separation
from stats.intervals import Resampling, Sample
from study.console import say_made, show_table
from study.files import whole_file
from study.folder import StudyFolder, study_folder
from study.inputs import check_file
from study.predictions import read_predictions

SEED = re.compile(r"-seed\d+$")  # at the end of a study's name
BANDS = "band tolerance of "  # before a study's name: the row of its task=band_tolerance


def run(cfg: DictConfig) -> float:
    """Write ``objectives/separation.csv`` and ``by_objective.csv`` into the study; return the best separation."""
    patterns = list(cfg.compare_objectives.studies)
    folders = [StudyFolder(path) for pattern in patterns for path in sorted(Path(cfg.studies).glob(pattern))]
    options = cfg.intervals
    resampling = Resampling(int(options.resamples), float(options.level), int(cfg.seed))
    rows_by_name = {folder.root.name: numbers(folder, resampling) for folder in folders if folder.predictions.exists()}
    rows_by_name |= {f"{BANDS}{folder.root.name}": found for folder in folders if (found := band_numbers(folder))}
    if not rows_by_name:
        raise ValueError(
            f"compare_objectives.studies={patterns}: no study of {cfg.studies} by these names has been evaluated; run "
            "experiment=planted_cues"
        )
    table = pd.DataFrame(rows_by_name).T.rename_axis("study")
    together = over_seeds(table)
    root = study_folder(cfg).root / "objectives"
    for path, content in ((root / "separation.csv", table), (root / "by_objective.csv", together)):
        with whole_file(path) as temporary:
            temporary.write_bytes(csv_bytes(content))
    read = [name for name in map(str, table) if name.startswith("readers")]
    rows = [
        [str(study), f"{row['seeds']:.0f}", *(cell(row, name) for name in ROWS),
         *(f"{row[name]:.3f}" for name in ("own kept", *read))]
        for study, row in together.iterrows()
    ]  # fmt: skip
    title = "how far planted cues are separated (RRC, with intervals; of several seeds the outermost ends)"
    show_table(title, ["", "seeds", *ROWS, "own kept, least", *read], rows)
    say_made(root / "separation.csv")
    return float(table["separation"].max())


def cell(row: pd.Series, name: str) -> str:
    """A number and its interval."""
    return f"{row[name]:.2f} [{row[f'{name} lower']:.2f}, {row[f'{name} upper']:.2f}]"


def numbers(folder: StudyFolder, resampling: Resampling) -> dict[str, float]:
    """Cue retention of one study, the least share of its own accuracy that a classifier keeps, and what probes read."""
    check_file(folder.predictions)
    read = read_predictions(folder.predictions)
    table = separation(read, Sample(read.top1, read.sources, resampling))
    values = values_of(table)
    probes = folder.root / "probe" / f"{folder.measure}.csv"
    if not probes.exists():
        return values
    check_file(probes)
    return values | probe_retention(read_table(probes))


def band_numbers(folder: StudyFolder) -> dict[str, float]:
    """The same numbers of what passes the channels of the classifiers of one study; nothing without planted cues."""
    path = folder.root / "band_tolerance" / "cues.csv"
    if not path.exists():
        return {}
    check_file(path)
    table = read_table(path)
    return values_of(table.set_index("number")) if len(table) else {}


def values_of(table: pd.DataFrame) -> dict[str, float]:
    """A row for a study: ``ROWS`` with their intervals, and the least of ``own kept``.

    Args:
        table: Result of :func:`stats.cue_retention.separation`.
    """
    values = {name if end == "estimate" else f"{name} {end}": float(table[end][name]) for name in ROWS for end in ENDS}
    return values | {"own kept": float(table[table.index.str.startswith("own kept")]["estimate"].min())}


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """One row for all studies whose names differ in ``-seed<k>`` alone.

    Args:
        table: A row for each study.

    Returns:
        The mean of every number; of lower ends and of ``own kept`` the least, of upper ends the largest; and how many
        studies there are, ``seeds``.
    """
    names = [str(name) for name in table]
    ways = {name: "min" if name.endswith((" lower", "own kept")) else "mean" for name in names}
    ways |= {name: "max" for name in names if name.endswith(" upper")}
    groups = table.groupby([SEED.sub("", str(study)) for study in table.index], sort=False)
    together = pd.DataFrame({name: groups[name].agg(way) for name, way in ways.items()})
    return together.assign(seeds=groups.size()).rename_axis("signal")
