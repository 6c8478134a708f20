"""Everything that is worth knowing about this project on one GPU, in one command of nine minutes at most.

python benchmarks/gpu.py                                                on a GPU; results in gpu/gpu.json and gpu/gpu.md
python benchmarks/gpu.py --only agreement throughput --minutes 4        some parts
python benchmarks/gpu.py --device cpu --tiny                            the same code, small, without a GPU
python benchmarks/gpu.py --summary gpu/gpu.json                         the tables again
python benchmarks/gpu.py --summary gpu/gpu.json --fill docs/benchmarks.md docs/imagenet.md

Each part runs in a process of its own with its own time limit, in order of importance: if it fails, hangs or crashes,
the next one begins. The results are written after each part. All images are drawn or generated. benchmarks/README.md
has what a machine needs that has only PyTorch. Exit status: 0, or 1 if something failed, or 2 if nothing could begin.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

# before torch loads: threads of two programs on the same cores must not spin
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.gpu_parts.record import Options, Recorder, follow_parent  # noqa: E402
from benchmarks.gpu_parts.supervise import Part, Results, has_failed, run_parts  # noqa: E402
from benchmarks.gpu_parts.tables import fill, markdown  # noqa: E402

MODULES = "benchmarks.gpu_parts"
CONFIGURED = ("hydra", "omegaconf", "safetensors", "skimage", "scipy", "sklearn", "pandas", "matplotlib",
              "jinja2", "rich")  # fmt: skip
PARTS = (
    Part("machine", "the machine, and its peaks", f"{MODULES}.machine:measure", 30),
    Part("agreement", "every module and metric, on the device and on the CPU", f"{MODULES}.agreement:measure", 100),
    Part("throughput", "steps of training, not compiled", f"{MODULES}.steps:measure", 100),
    Part("study", "a study, from image files to the page", f"{MODULES}.whole_study:measure", 150, CONFIGURED),
    Part("methods", "evaluation, further methods, image files", f"{MODULES}.methods:measure", 80),
    Part("profile", "where the time of a step goes", f"{MODULES}.kernels:measure", 20),
    Part("compiled", "steps of training, compiled", f"{MODULES}.steps:measure_compiled", 60),
)


NO_DEVICE = (
    "--device cuda: PyTorch sees no CUDA device here (torch.cuda.is_available() is false): install a CUDA build of "
    "PyTorch and the driver, or use --device cpu --tiny"
)


def main() -> int:
    """Run the parts, or show what they have measured."""
    if sys.argv[1:2] == ["--child"]:
        return child(*sys.argv[2:4])
    options = parse()
    if options.summary:
        return summarize(options.summary, options.fill)
    if options.device == "cuda" and not sees_cuda():
        sys.stderr.write(f"error: {NO_DEVICE}\n")
        return 2
    results: Results = {
        "command": " ".join(["python", "benchmarks/gpu.py", *sys.argv[1:]]),
        "commit": options.commit or commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "device": options.device,
        "tiny": options.tiny,
        "seed": options.seed,
    }
    chosen = [part for part in PARTS if options.only is None or part.name in {"machine", *options.only}]
    out = options.out
    (out / "parts").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        told = Options(options.device, options.tiny, options.seed, folder, str((out / "parts").resolve()), 0.0)
        run_parts(chosen, told, 60 * options.minutes, results, lambda results: keep(results, out))
    sys.stdout.write(f"{markdown(results)}\n{out / 'gpu.json'}, {out / 'gpu.md'}\n")
    return int(has_failed(results))


def parse() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="everything as small as a test needs it")
    parser.add_argument("--minutes", type=float, default=9.0, help="time for all parts")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder of the results")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="parts to run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commit", help="of this code, where there is no git; noted in the results")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="print the tables of a gpu.json")
    parser.add_argument("--fill", type=Path, nargs="+", metavar="DOCUMENT", help="with --summary: put them there")
    options = parser.parse_args()
    if options.fill and not options.summary:
        parser.error("--fill needs --summary gpu/gpu.json: the tables come from there")
    if not options.minutes > 0:
        parser.error(f"--minutes={options.minutes}: give a number above 0")
    if options.device == "cpu" and not options.tiny and not options.summary:
        parser.error("--device cpu needs --tiny: networks of real size take hours on a CPU")
    return options


def child(function: str, told: str) -> int:
    """Make the measurements of a part, in the process of its own."""
    follow_parent()
    module, name = function.split(":")
    getattr(importlib.import_module(module), name)(Recorder(Options.from_json(told)))
    return 0


def sees_cuda() -> bool:
    """Whether PyTorch sees a GPU; asked in another process, because this one must not hold the GPU's memory."""
    asked = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)"
    try:
        return subprocess.run([sys.executable, "-c", asked], check=False, timeout=120).returncode != 3  # noqa: S603
    except subprocess.TimeoutExpired:
        return True  # the parts find out, each within its limit


def commit() -> str:
    """The commit of this code, with ``+`` if files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def keep(results: Results, out: Path) -> None:
    """Write both files, each whole or not at all."""
    for name, text in (("gpu.json", json.dumps(results, indent=2) + "\n"), ("gpu.md", markdown(results))):
        temporary = out / f".{name}.partial"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(out / name)


def summarize(path: Path, documents: Sequence[Path] | None) -> int:
    """Print the tables of a file of results, or put them into documents."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        text = markdown(results)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"error: --summary {path}: not a whole gpu.json of this command ({error}): measure again\n")
        return 2
    if not documents:
        sys.stdout.write(text)
        return 0
    try:
        filled = {document: fill(document.read_text(encoding="utf-8"), results) for document in documents}
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: --fill: {error}\n")
        return 2
    for document, content in filled.items():
        document.write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
