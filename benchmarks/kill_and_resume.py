"""Kill a small study again and again at random moments: does it end with the bits of one that was left alone?

    python benchmarks/kill_and_resume.py --kills 200 --seed 0

Studies run in forked processes of this one, which has loaded PyTorch and computed nothing: so a run costs no start.
Every weight file and every table is compared; the exit status is 1 if one differs.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.context import ForkProcess
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hydra

import run

KILLS_PER_STUDY = 10
COMPARED = (".safetensors", ".csv", "order.json", ".html", ".png")


def run_study(studies: Path, overrides: list[str]) -> None:
    """Run a study without its output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with hydra.initialize_config_dir(str(run.CONF), version_base="1.3"):
        run.run(hydra.compose("config", overrides=["experiment=smoke", f"studies={studies}", *overrides]))


def start(studies: Path, overrides: list[str]) -> ForkProcess:
    """Start a study in a forked process."""
    process = multiprocessing.get_context("fork").Process(target=run_study, args=(studies, overrides))
    process.start()
    return process


def at_work(studies: Path) -> str:
    """Which step a study is at, and whether it could go on in the middle of it."""
    jobs = [path for path in studies.glob("smoke/jobs/*/lock") if path.stat().st_mtime_ns]
    if not jobs:
        return "beginning"
    job = max(jobs, key=lambda path: path.stat().st_mtime_ns).parent
    return job.name.split("-")[0] + (" (checkpoint)" if (job / "last.ckpt").exists() else "")


def contents(studies: Path) -> dict[str, bytes]:
    """What must be the same in two studies."""
    folder = studies / "smoke"
    files = [path for path in sorted(folder.rglob("*")) if path.name.endswith(COMPARED) and "jobs" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def main() -> None:
    """Kill, compare, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", help="of the study's configuration, as finetune.epochs=9")
    options = parser.parse_args()
    moments = random.Random(options.seed)  # noqa: S311
    overrides = ["checkpoint_every=0.1", *options.overrides]
    with tempfile.TemporaryDirectory() as temporary:
        whole, cut = Path(temporary, "whole"), Path(temporary, "cut")
        begun = time.monotonic()
        process = start(whole, overrides)
        process.join()
        if process.exitcode:
            sys.exit("the study that was left alone failed")
        duration = time.monotonic() - begun
        expected = contents(whole)
        moment_of_kill: Counter[str] = Counter()
        studies = 0
        finished: list[str] = []
        spared = False
        while moment_of_kill.total() < options.kills or spared or not finished:
            process = start(cut, overrides)
            left_alone = spared or moment_of_kill.total() == options.kills
            process.join(None if left_alone else moments.uniform(0, duration / 4))
            if process.is_alive():
                moment_of_kill[at_work(cut)] += 1
                process.kill()
                process.join()
                spared = moment_of_kill.total() % KILLS_PER_STUDY == 0
                continue
            if process.exitcode:
                sys.exit("a study failed after a kill")
            spared = False
            studies += 1  # it ended before it could be killed, or was left alone: compare, and begin another
            found = contents(cut)
            finished += [name for name in expected if found.get(name) != expected[name]] or [""]
            cut = Path(temporary, f"cut{studies}")
    differing = sorted({name for name in finished if name})
    report = {"kills": dict(moment_of_kill.most_common()), "studies": studies, "files": len(expected)}
    print(json.dumps(report | {"differing": differing, "seconds left alone": round(duration, 1)}, indent=2))  # noqa: T201
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
