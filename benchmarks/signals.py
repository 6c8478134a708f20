"""Send a stop signal at a random moment to a program that trains: does it end in one line that says how to go on?

    python benchmarks/signals.py --tries 40 --seed 0

Each try is one process, from the interpreter's start to its end. Before the first line of the program runs, Python's
own handling of signals applies; these tries are counted apart. The exit status is 1 if a try ended in another way.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
STOPPED = 75
GOOD = ("stopped in one line", "finished before the signal", "before the first line of the program")
LINE = "the same command goes on from here"


def ending(returncode: int, output: str, asked: signal.Signals) -> str:
    """What became of a try, in words."""
    if returncode == -asked or (asked == signal.SIGINT and "run.py" not in output and "KeyboardInterrupt" in output):
        return "before the first line of the program"
    if "Traceback" in output:
        return "traceback"
    if returncode == 0:
        return "finished before the signal" if LINE not in output else "stopped, with status 0"
    if returncode == STOPPED and output.count(LINE) == 1:
        return "stopped in one line"
    return f"status {returncode}: {output.strip().splitlines()[-1] if output.strip() else 'no line'}"


def main() -> None:
    """Send the signals and print what became of the tries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--within", type=float, default=12.0, help="seconds in which the signals come")
    options = parser.parse_args()
    moments = random.Random(options.seed)  # noqa: S311
    endings: Counter[str] = Counter()
    for _ in range(options.tries):
        asked, wait = moments.choice(SIGNALS), moments.uniform(0, options.within)
        with tempfile.TemporaryDirectory() as studies:
            command = [sys.executable, "run.py", "experiment=smoke", f"studies={studies}"]
            process = subprocess.Popen(  # noqa: S603
                command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            time.sleep(wait)
            process.send_signal(asked)
            try:
                output, _ = process.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                endings["hang"] += 1
                continue
            became = ending(process.returncode, output, asked)
            endings[became] += 1
            if became not in GOOD:
                print(f"{asked.name} after {wait:.1f} s: {became}\n{output}", file=sys.stderr)  # noqa: T201
    print(json.dumps(dict(endings.most_common()), indent=2))  # noqa: T201
    sys.exit(any(name not in GOOD for name in endings))


if __name__ == "__main__":
    main()
