"""The results as Markdown: a table for each part, and the sections of documents that they fill."""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.gpu_parts.record import DESCRIPTION, OK

Results = dict[str, Any]
WIDTH = 115
NONE_YET = "No GPU could be used so far, so this section has no numbers yet."
NO_TIMES = "No GPU has been measured so far: all times of this page are *computed*."
PRETRAINED, FINE_TUNED, EVALUATED = 92_000_000, 1_281_167, 50_000  # images of experiment=paper on ImageNet
BEGIN, END = "<!-- benchmarks/gpu.py fills {} -->", "<!-- end of {} -->"


def markdown(results: Results) -> str:
    """All results, as a document of its own."""
    return f"# One {'GPU' if results['device'] == 'cuda' else 'CPU'}\n\n{tables(results)}"


def tables(results: Results | None) -> str:
    """The machine, the state of each part, and a table for each part; ``None``: that there are no results."""
    if results is None:
        return NONE_YET + "\n"
    parts = results["parts"]
    rows = [[name, part["about"], part["status"], part.get("seconds")] for name, part in parts.items()]
    blocks = [wrapped(head(results)), table(["part", "measures", "status", "seconds"], rows)]
    for name, part in parts.items():
        blocks += part_blocks(name, part)
    return "\n".join(blocks)


def head(results: Results) -> str:
    """The machine, the versions, the commit and the command, in sentences."""
    found = description(results)
    machine, versions = found.get("machine", {}), found.get("versions", {})
    known = [f"{key} {show(value)}" for key, value in machine.items()]
    packages = [f"{name} {version}" for name, version in versions.items() if version != "missing"]
    missing = [name for name, version in versions.items() if version == "missing"]
    sentences = [
        f"Machine: {', '.join(known) or 'unknown'}.",
        f"Versions: {', '.join(packages) or 'unknown'}{'; missing: ' + ', '.join(missing) if missing else ''}.",
        f"Commit {results['commit']}, {results['date']}, seed {results['seed']}: `{results['command']}`.",
    ]
    return " ".join([*sentences, *(["Everything is tiny: the numbers mean nothing."] if results["tiny"] else [])])


def description(results: Results) -> Results:
    """The machine and the versions; empty if they could not be found out."""
    found: Results = measured(results, "machine").get(DESCRIPTION, {})
    return found


def measured(results: Results, part: str) -> dict[str, Results]:
    """The numbers of the measurements of a part that succeeded, by name."""
    measurements = results["parts"].get(part, {}).get("measurements", [])
    return {each["name"]: each["numbers"] for each in measurements if each["status"] == OK}


def part_blocks(name: str, part: Results) -> list[str]:
    """The table of a part, and a list of what failed or was left out."""
    measurements = [each for each in part.get("measurements", []) if each["name"] != DESCRIPTION]
    blocks = [f"### {name}: {part['about']}\n"]
    good = [each for each in measurements if each["status"] == OK]
    for columns in dict.fromkeys(tuple(each["numbers"]) for each in good):
        alike = [each for each in good if tuple(each["numbers"]) == columns]
        blocks.append(table(["", *columns], [[each["name"], *each["numbers"].values()] for each in alike]))
    lines = [f"{each['name']}: {each['status']}{reason(each)}" for each in measurements if each["status"] != OK]
    lines += [f"{each['name']}: not as expected" for each in good if each["numbers"].get("as expected") is False]
    if part["status"] != OK:
        lines.insert(0, f"the part: {part['status']}{reason(part)}")
    if lines:
        blocks.append("".join(wrapped(f"- {line}", "  ") for line in lines))
    return blocks


def reason(record: Results) -> str:
    """Why something failed: how its process ended, and the last line of its error."""
    error = record.get("error", [])
    return (
        ": " + "; ".join(dict.fromkeys([error[0], error[-1]] if "ended" in error[0] else error[-1:])) if error else ""
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(f"| {' | '.join(show(value) for value in row)} |" for row in rows)]) + "\n"


def show(value: Any) -> str:
    """A value in a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def wrapped(text: str, indent: str = "") -> str:
    """Prose in lines that are not too long."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=True, break_on_hyphens=False) + "\n"


def times(results: Results | None) -> str:
    """How long the steps of ``experiment=paper`` take on one GPU at the measured rates."""
    if results is None:
        return NO_TIMES + "\n"
    steps, methods = measured(results, "throughput"), measured(results, "methods")
    rows: list[list[Any]] = []

    def add(step: str, images: int, rate: float | None) -> None:
        if rate:
            rows.append([step, images, rate, duration(images / rate)])

    for name, numbers in steps.items():
        what, *setting = name.split(", ")
        if setting == ["256 pixels", "batch 64"]:
            step = "A_S" if what == "pre-train" else f"A_i, {what}"
            add(step, PRETRAINED if what == "pre-train" else FINE_TUNED, numbers.get("images/s"))
    for name, numbers in methods.items():
        if name.startswith(("cross evaluation", "decoding")):
            add(name, EVALUATED, numbers.get("images/s"))
    if not rows:
        return NO_TIMES + "\n"
    machine = description(results).get("machine", {})
    about = (
        f"Measured rates of one {machine.get('gpu', 'device')} with images in its memory, without loading "
        f"(`benchmarks/gpu.py`, commit {results['commit']}), and the times that follow from them:"
    )
    return f"{wrapped(about)}\n{table(['step', 'images', 'images/s', 'time'], rows)}"


def duration(seconds: float) -> str:
    """A time, for people."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


SECTIONS: dict[str, Callable[[Results | None], str]] = {"tables": tables, "times": times}


def fill(document: str, results: Results | None) -> str:
    """A document with its sections filled; they are between lines with comments.

    Args:
        document: Its text.
        results: The results; ``None`` says that there are none.

    Raises:
        ValueError: If there is no section, one has no end, or the results are of a small run.
    """
    if results is not None and (results["tiny"] or results["device"] != "cuda"):
        raise ValueError("the results are of a small run or of a CPU: their numbers mean nothing; measure on a GPU")
    found = False
    for name, section in SECTIONS.items():
        begin, end = BEGIN.format(name), END.format(name)
        if begin not in document:
            continue
        found = True
        before, _, rest = document.partition(f"{begin}\n")
        _, ended, after = rest.partition(end)
        if not ended:
            raise ValueError(f"the section of {name!r} has no end: add the line {end}")
        document = f"{before}{begin}\n\n{section(results)}\n{end}{after}"
    if not found:
        raise ValueError(f"the document has no line {BEGIN.format('tables')} or {BEGIN.format('times')}: add one")
    return document
