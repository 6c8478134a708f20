"""Completion of names in the shell: keys, groups and choices, without loading PyTorch at every Tab."""

import os
import subprocess
import sys

import pytest

from tests.studies import REPOSITORY


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("finetune.ep", ["finetune.epochs="]),
        ("presets/concepts=", ["presets/concepts=published"]),
        ("objective=no_", ["objective=no_switches", "objective=no_switches_noisy"]),
    ],
)
def test_tab_completes(line: str, completed: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "run.py", "-sc", "query=bash"]
    environment = os.environ | {"COMP_LINE": f"python run.py {line}"}
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == completed
    assert " torch\n" not in done.stderr
    assert " hydra\n" in done.stderr
