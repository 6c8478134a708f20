"""No module and no task mixes devices: each runs on a device that refuses what a GPU refuses, with equal results."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_parts.cases import CASES
from tests.devices import NAME, can_be_pretended
from tests.studies import REPOSITORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_be_pretended(), reason="this PyTorch cannot have a device that is written in Python"),
]


def run_there(*arguments: str) -> Any:
    command = [sys.executable, "-m", "tests.device_runs", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_no_module_mixes_devices() -> None:
    found = run_there("modules")
    assert found.pop("not refused") == []
    assert found == {case.name: {} for case in CASES}


def test_no_task_mixes_devices(tmp_path: Path) -> None:
    assert run_there("tasks", str(tmp_path)) == {"trainers": pytest.approx(70, abs=25), "devices": [NAME]}
    assert (tmp_path / "smoke" / "report" / "index.html").exists()
