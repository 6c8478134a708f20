"""Everything that computes a published equation has a slow, literal version in the tests."""

import importlib
from pathlib import Path

from tests.replicas import REPLICAS, must_be_replicated

TESTS = Path(__file__).parent


def test_nothing_is_without_a_literal_version() -> None:
    for path in sorted(TESTS.rglob("test_*.py")):
        if path != Path(__file__) and "@replicates(" in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
    missing, unknown = must_be_replicated() - REPLICAS.keys(), REPLICAS.keys() - must_be_replicated()
    assert not missing, f"write a literal version and register it with tests.replicas.replicates: {sorted(missing)}"
    assert not unknown, f"registered, but there is nothing of that name: {sorted(unknown)}"
