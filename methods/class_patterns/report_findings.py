"""Part of the report: how simple patterns are, and which class gives itself away by them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from methods.class_patterns.class_anomaly import CLEAN_RATE
from methods.class_patterns.figures import class_costs
from methods.class_patterns.success import mean_over_classes, read_table
from report.page import Part, Section

FOLDER, BACKDOORS = "class_patterns", "backdoors"
FILES = ("simplicity.csv", "suspicion.csv", "triggers.csv")
PHOTOGRAPHS = ("own", "other")  # canvases whose shapes the search did not make
NUMBERS = {
    "mask_variation": "outline, for each pixel",
    "pixel_variation": "contrast of neighbours",
    "edge_density": "on edges",
    "components": "pieces",
    "largest_share": "in the largest piece",
}
KINDS = {"own": "image of the class", "other": "image of another", "noise": "noise", "learned": "free colours"}
SIMPLE = (
    "Numbers of the patterns’ shapes, cut from photographs: the length of the outline for each pixel (4 for lone "
    "pixels, near 0 for one large piece), the mean difference of neighbours that both belong to the pattern, "
    "the share of its pixels on edges of the picture (Sobel), the number of pieces, and the share of pixels in the "
    "largest. The smaller the first four and the larger the last, the simpler. "
)
COSTS = (
    "Each dot is a class: how many pixels, with free colours, half of the other classes’ images give in to. A "
    "backdoor is a short cut: its class should need far fewer than the others. The anomaly index is the distance from "
    "the median class in robust standard deviations of the logarithm; a class is <em>flagged</em> where it is above "
    f"what {CLEAN_RATE:.0%} of networks without any such class have by chance. A ring marks a class that a trigger "
    "was planted for. "
)


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part, or ``None`` where no patterns were searched.

    Args:
        root: The study's folder.
        labels: What people call each classifier.
    """
    files = [root / FOLDER / name for name in FILES]
    if not all(path.exists() for path in files):
        return None
    simple, suspicion, triggers = (read_table(path).replace({"classifier": dict(labels)}) for path in files)
    planted = {
        labels.get(path.stem, path.stem): path
        for path in sorted((root / BACKDOORS).glob("*.csv"))
        if path.stem in labels
    }
    sections, figures = [], {}
    shapes = simple[simple["kind"].isin(PHOTOGRAPHS)]
    if len(shapes):
        sections.append(Section("How simple patterns are", SIMPLE + simpler(shapes), tables=shape_tables(shapes)))
    if len(suspicion):
        figures["patterns_costs"] = class_costs(suspicion)
        tables = {"The three most suspicious classes, and planted ones": suspicious_table(suspicion)}
        if planted:
            tables["Planted backdoors, on clean test images and on those with the trigger"] = backdoor_table(planted)
        if len(triggers):
            tables["How much of the trigger patterns hold, mean over patterns"] = trigger_table(triggers)
        sections.append(
            Section("Does a class give itself away?", COSTS + given_away(suspicion), "patterns_costs", tables)
        )
    return Part(sections, figures, [*files, *planted.values()]) if sections else None


def backdoor_table(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Whether each backdoor works: shares with their 95 % intervals, by the classifier's name."""
    rows = {
        name: {
            row.measure: f"{row.share:.1%} [{row.lower:.1%}, {row.upper:.1%}]"
            for row in pd.read_csv(path).itertuples(index=False)
        }
        for name, path in paths.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def shape_tables(shapes: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over classes, and of every further classifier its difference to the first."""
    names = shapes["classifier"].unique().tolist()
    means = {
        name: [f"{mean_over_classes(shapes[shapes['classifier'] == name], column)[0]:.3g}" for column in NUMBERS]
        for name in names
    }
    columns = list(NUMBERS.values())
    tables = {"Shapes of patterns, mean over classes": pd.DataFrame.from_dict(means, "index", columns=columns)}
    if len(names) > 1:
        differences = {
            f"{name} − {names[0]}": [interval_text(*difference(shapes, name, names[0], column)) for column in NUMBERS]
            for name in names[1:]
        }
        tables["Differences, with 95 % intervals over classes"] = pd.DataFrame.from_dict(
            differences, "index", columns=columns
        )
    return tables


def difference(shapes: pd.DataFrame, name: str, first: str, column: str) -> tuple[float, float, float]:
    """A classifier's mean number minus another's, on the same canvases, and its 95 % interval over classes."""
    keys = ["class", "kind", "number", "seed"]
    one, other = (shapes[shapes["classifier"] == which].set_index(keys)[column] for which in (name, first))
    return mean_over_classes((one - other).rename("value").reset_index(), "value")


def interval_text(value: float, lower: float, upper: float) -> str:
    """A number with its interval."""
    return f"{value:+.2g} [{lower:.2g}, {upper:.2g}]"


def simpler(shapes: pd.DataFrame) -> str:
    """Which classifiers' patterns are simpler than the first one's, in words."""
    first, *others = shapes["classifier"].unique().tolist()
    told = []
    for name in others:
        surely = []
        for column, text in NUMBERS.items():
            _, lower, upper = difference(shapes, name, first, column)
            if lower > 0 or upper < 0:
                fewer = upper < 0
                simple = fewer if column != "largest_share" else not fewer
                surely.append(f"{text} {'lower' if fewer else 'higher'} ({'simpler' if simple else 'less simple'})")
        told.append(f"{name}: {', '.join(surely) if surely else 'no difference beyond chance'}")
    return f"Beside {first}: {'; '.join(told)}." if told else ""


def suspicious_table(suspicion: pd.DataFrame) -> pd.DataFrame:
    """The first classes of each classifier."""
    chosen = suspicion[(suspicion["rank"] <= 3) | suspicion["planted"].astype(bool)]
    yes = {True: "yes", False: "no"}
    return pd.DataFrame(
        {
            "class": chosen["class"],
            "pixels needed": chosen["pixels"].map("{:.0f}".format),
            "anomaly index": chosen["anomaly_index"].map("{:.1f}".format),
            "rank": chosen["rank"],
            "flagged": chosen["flagged"].astype(bool).map(yes),
            "planted": chosen["planted"].astype(bool).map(yes),
        }
    ).set_index(chosen["classifier"].rename(None))


def trigger_table(triggers: pd.DataFrame) -> pd.DataFrame:
    """Recall and overlap of the trigger's class and of all others, by the kind of canvas and the number of pixels."""
    who = triggers["target"].astype(bool).map({True: "the trigger’s class", False: "other classes"})
    rows = triggers["classifier"] + ", " + who + ", " + triggers["kind"].map(KINDS)
    means = triggers.assign(row=rows).groupby(["row", "pixels"])[["recall", "overlap"]].mean()
    columns = {
        f"{'IoU' if value == 'overlap' else value}, {pixels} pixels": means[value].xs(pixels, level="pixels")
        for value in ("recall", "overlap")
        for pixels in sorted(triggers["pixels"].unique())
    }
    return pd.DataFrame(columns).reindex(rows.unique()).map("{:.2f}".format).rename_axis(None)


def given_away(suspicion: pd.DataFrame) -> str:
    """What is flagged, in words."""
    told = []
    for name, part in suspicion.groupby("classifier", sort=False):
        flagged = part[part["flagged"].astype(bool)]
        planted = part[part["planted"].astype(bool)]
        names = " and ".join(flagged["class"].str.replace("_", " "))
        text = f"{name}: {names + ' flagged' if len(flagged) else 'none flagged'}"
        if len(planted):
            row = planted.iloc[0]
            text += f" (planted: {str(row['class']).replace('_', ' ')}, rank {row['rank']} of {len(part)})"
        told.append(text)
    return f"{'; '.join(told)}."
