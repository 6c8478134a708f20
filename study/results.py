"""The final numbers of a step."""

import json
from collections.abc import Mapping
from pathlib import Path

from study.files import write_text


def write_results(job: Path, results: Mapping[str, float]) -> None:
    """Keep a step's final numbers in its job's folder, as ``metrics.json``."""
    numbers = {name: float(value) for name, value in results.items()}
    write_text(job / "metrics.json", json.dumps(numbers, indent=2) + "\n")
