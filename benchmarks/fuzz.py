"""Alter files in every way that we know of, many times: is anything wrong accepted, or does anything break?

    python benchmarks/fuzz.py --tries 10000 --seed 0

A smoke study is made first; every kind of file gets a copy of it. Tries are shared out among the kinds. The exit status
is 1 if an altered file was accepted, an error was not explained in one line, a try hung or another file was lost.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import run
from tests.fuzz.engine import FAULTS, FINE
from tests.fuzz.kinds import SHARES, fuzz
from tests.studies import compose


def main() -> None:
    """Fuzz, and print a table and every fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(SHARES), choices=list(SHARES))
    options = parser.parse_args()
    counts, begun = {}, time.monotonic()
    header = ["kind", "tries", *FINE, *FAULTS]
    with tempfile.TemporaryDirectory() as folder:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            run.run(compose(Path(folder)))
        print(f"{line(header)}\n{line(['---'] * len(header))}", flush=True)  # noqa: T201
        shares = sum(SHARES[kind] for kind in options.kinds)
        for kind in options.kinds:
            counts[kind] = fuzz(kind, options.tries * SHARES[kind] // shares, options.seed, Path(folder))
            print(line([kind, *counts[kind].numbers]), flush=True)  # noqa: T201
    total = [sum(numbers) for numbers in zip(*(count.numbers for count in counts.values()), strict=True)]
    print(f"{line(['all', *total])}\n\n{time.monotonic() - begun:.0f} s")  # noqa: T201
    faults = [f"{kind}: {fault}" for kind, count in counts.items() for fault in count.faults]
    print("\n".join(faults))  # noqa: T201
    sys.exit(bool(faults))


def line(cells: Sequence[object]) -> str:
    """A row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
