"""``task=compare_signals``: how far autoencoders separate planted cues, in several studies side by side."""

from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from analysis.intervals.study import Resampling, Sample
from analysis.measurements.cue_retention import ENDS, ROWS, separation
from analysis.verdicts import read_verdicts
from tasks import build
from tasks.study_folder import StudyFolder, whole_file
from tasks.terminal import say_made, show_table


def run(cfg: DictConfig) -> float:
    """Write ``signals/separation.csv`` into the study, and return the largest separation."""
    patterns = list(cfg.compare_signals.studies)
    folders = [path for pattern in patterns for path in sorted(Path(cfg.studies).glob(pattern))]
    found = {folder.name: StudyFolder(folder).verdicts for folder in folders}
    found = {name: path for name, path in found.items() if path.exists()}
    if not found:
        raise ValueError(
            f"compare_signals.studies={patterns}: no study of {cfg.studies} by these names has been evaluated; run "
            "experiment=planted_cues"
        )
    table = pd.DataFrame({name: numbers(path) for name, path in found.items()}).T.rename_axis("study")
    path = build.study_folder(cfg).root / "signals" / "separation.csv"
    with whole_file(path) as temporary:
        table.to_csv(temporary)
    rows = [
        [str(study), *(f"{row[name]:.2f} [{row[f'{name} lower']:.2f}, {row[f'{name} upper']:.2f}]" for name in ROWS),
         f"{row['own kept']:.3f}"]
        for study, row in table.iterrows()
    ]  # fmt: skip
    show_table("how far planted cues are separated (RRC, with 95 % intervals)", ["", *ROWS, "own kept, least"], rows)
    say_made(path)
    return float(table["separation"].max())


def numbers(verdicts: Path) -> dict[str, float]:
    """Cue retention of one study, and the least share of its own accuracy that a classifier keeps."""
    read = read_verdicts(verdicts)
    table = separation(read, Sample(read.top1, read.sources, Resampling()))
    values = {name if end == "estimate" else f"{name} {end}": float(table[end][name]) for name in ROWS for end in ENDS}
    return values | {"own kept": float(table[table.index.str.startswith("own kept")]["estimate"].min())}
