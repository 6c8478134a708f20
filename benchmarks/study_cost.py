"""What a run costs: wall time, CPU time and peak memory of ``python run.py`` with any arguments.

python benchmarks/study_cost.py study=cost     (a new study; remove studies/cost to measure again)
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

RUN = Path(__file__).resolve().parents[1] / "run.py"


def main() -> int:
    """Run the program, then print one line of costs."""
    start = time.monotonic()
    status = subprocess.run([sys.executable, str(RUN), *sys.argv[1:]], check=False).returncode  # noqa: S603
    seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    kibibytes = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    sys.stdout.write(
        f"wall {seconds:.0f} s, CPU {used.ru_utime + used.ru_stime:.0f} s, peak memory {kibibytes / 2**20:.2f} GiB\n"
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
