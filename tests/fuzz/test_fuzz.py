"""Files are altered in every way that we know of: what is wrong is refused in one line or made again, never taken.

``benchmarks/fuzz.py`` runs the same for any number of tries.
"""

from pathlib import Path

import pytest

from tests.fuzz.engine import FAULTS
from tests.fuzz.kinds import KINDS, SHARES, fuzz

TRIES, SEED = 500, 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_alteration_is_accepted_or_ends_in_a_traceback_or_hangs_or_loses_a_file(kind: str, finished: Path) -> None:
    if kind in ("caches", "images", "given tables"):
        pytest.importorskip("webdataset")
    count = fuzz(kind, max(25, TRIES * SHARES[kind] // 1000), SEED, finished)
    assert count.tries >= 25
    assert not count.faults
    assert sum(count.outcomes[fault] for fault in FAULTS) == 0


def test_every_kind_has_its_share() -> None:
    assert SHARES.keys() == KINDS.keys()
    assert sum(SHARES.values()) == 1000
