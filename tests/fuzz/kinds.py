"""Every kind of what is altered, with its share of the tries."""

import random
import tempfile
from pathlib import Path
from typing import Any

from tests.fuzz.alterations import alter
from tests.fuzz.engine import Count
from tests.fuzz.of_files import FILES
from tests.fuzz.of_settings import SETTINGS
from tests.fuzz.of_studies import STUDIES

KINDS: dict[str, Any] = STUDIES | FILES | SETTINGS
SHARES = {  # in a thousand: tries that run a task take ten times as long as others
    "tables": 130, "predictions": 60, "weights": 90, "records": 90, "jobs": 130, "checkpoints": 100, "caches": 100,
    "images": 100, "given tables": 60, "given weights": 60, "settings": 60,
    "trusted predictions": 20,
}  # fmt: skip


def fuzz(kind: str, tries: int, seed: int, finished: Path) -> Count:
    """Alter files of one kind.

    Args:
        kind: One of ``KINDS``.
        tries: How often.
        seed: Decides what is altered and how.
        finished: The ``studies`` folder of a finished smoke study; it is copied.
    """
    count, draw = Count(), random.Random(f"{kind} {seed}")  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        subject = KINDS[kind](finished, Path(folder))
        subject.start()
        for _ in range(tries):
            count.add(*subject.once(draw, alter))
    return count
