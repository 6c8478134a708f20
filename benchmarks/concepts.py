"""Coupled factorisation beside scikit-learn's coordinate descent on the stacked matrix: seconds and memory.

python benchmarks/concepts.py     (10,000 images, 3,072 + 960 columns, 20 concepts; both to the same objective)
python benchmarks/concepts.py --rows 4000 --columns 3072 13056 --concepts 100 --passes 10 --repeats 1     (larger ones)
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

NAMES = ("pixels", "activations")
TRUE_CONCEPTS = 30


def main() -> None:
    """Draw blocks, factorise them in turn in fresh processes, and print the medians."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--columns", type=int, nargs=2, default=[3072, 960])
    options.add_argument("--concepts", type=int, default=20)
    options.add_argument(
        "--passes", type=int, default=100, help="passes of scikit-learn; ours stops at the same objective"
    )
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--chunk", type=int, default=1024)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen.folder = Path(folder)
        draw_blocks(chosen.folder, chosen.rows, chosen.columns)
        results: dict[str, list[dict[str, float]]] = {"scikit-learn": [], "like-to-see": []}
        for _ in range(chosen.repeats):
            theirs = in_new_process(factorize_stacked, chosen)
            chosen.objective = theirs["objective"]
            results["scikit-learn"].append(theirs)
            results["like-to-see"].append(in_new_process(factorize_blocks, chosen))
    for name, runs in results.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        sys.stdout.write(f"{name}: {', '.join(f'{key} {value:.6g}' for key, value in middle.items())}\n")
    for key in ("seconds", "memory"):
        ratios = [
            ours[key] / theirs[key]
            for ours, theirs in zip(results["like-to-see"], results["scikit-learn"], strict=True)
        ]
        shown = ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
        sys.stdout.write(f"{key}, like-to-see / scikit-learn: {shown}\n")


def draw_blocks(folder: Path, rows: int, columns: Sequence[int]) -> None:
    """Write blocks of sparse planted concepts and noise, float32."""
    generator = np.random.default_rng(0)
    images = generator.random((rows, TRUE_CONCEPTS), dtype=np.float32)
    images *= generator.random(images.shape) < 0.3
    for name, width in zip(NAMES, columns, strict=True):
        factor = generator.random((TRUE_CONCEPTS, width), dtype=np.float32)
        factor *= generator.random(factor.shape) < 0.3
        block = images @ factor
        block += 0.3 * block.std() * np.abs(generator.standard_normal(block.shape, dtype=np.float32))
        np.save(folder / f"{name}.npy", block)


def in_new_process(work: Callable[..., dict[str, float]], chosen: argparse.Namespace) -> dict[str, float]:
    """The numbers of one factorisation in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, chosen).result()


def measured(work: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Seconds of some work, and by how many MiB the process's memory grew at most; Linux."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, start = resident("VmRSS"), time.perf_counter()
    numbers = work()
    return {"seconds": time.perf_counter() - start, "memory": resident("VmHWM") - before} | numbers


def resident(entry: str) -> float:
    """An entry of the process's status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry)) / 1024


def factorize_stacked(chosen: argparse.Namespace) -> dict[str, float]:
    """scikit-learn on the weighted blocks side by side."""
    import warnings

    from sklearn.decomposition import NMF

    warnings.simplefilter("ignore")  # that it stops before it has converged
    NMF(2, init="nndsvda").fit(np.ones((4, 4)))  # import everything before the clock

    def work() -> dict[str, float]:
        stacked = np.empty((chosen.rows, sum(chosen.columns)), dtype=np.float32)
        start = 0
        for name, width in zip(NAMES, chosen.columns, strict=True):
            block = np.load(chosen.folder / f"{name}.npy", mmap_mode="r")
            norm = np.sqrt(sum(float((part.astype(float) ** 2).sum()) for part in np.array_split(block, 50)))
            for rows in np.array_split(np.arange(chosen.rows), 50):
                stacked[rows, start : start + width] = block[rows] / norm
            start += width
        model = NMF(chosen.concepts, init="nndsvda", solver="cd", tol=0, max_iter=chosen.passes, random_state=0)
        model.fit_transform(stacked)
        return {"passes": model.n_iter_, "objective": float(model.reconstruction_err_) ** 2 / 2}

    return measured(work)


def factorize_blocks(chosen: argparse.Namespace) -> dict[str, float]:
    """Ours, by Lightning, on the mapped files, until the objective is as low."""
    import pytorch_lightning as pl
    import torch

    from methods.concepts.blocks import BlockRows, Blocks, StoredMatrix
    from methods.concepts.factorization import CoupledFactorization
    from methods.concepts.fits import ConceptFactorization
    from methods.concepts.hals import NO_PENALTIES
    from study.lightning_fixes import quiet_lightning

    class UntilObjective(ConceptFactorization):
        """Stops at an objective."""

        def on_train_epoch_end(self) -> None:
            super().on_train_epoch_end()
            history = self.factorization.history
            self.trainer.should_stop = bool(history) and history[-1][0] <= chosen.objective

    quiet_lightning()
    matrices = [StoredMatrix.find(chosen.folder / f"{name}.npy") for name in NAMES]

    def trainer(passes: int) -> pl.Trainer:
        return pl.Trainer(
            accelerator="cpu", max_epochs=passes, logger=False, enable_progress_bar=False, enable_checkpointing=False,
            enable_model_summary=False, use_distributed_sampler=False,
        )  # fmt: skip

    def factorization(rows: BlockRows, concepts: int) -> CoupledFactorization:
        sums, squares = np.zeros(len(matrices)), np.zeros(len(matrices))
        for _, chunk in rows.every_chunk():
            exact = [block.double() for block in chunk]
            sums += [float(block.sum()) for block in exact]
            squares += [float((block**2).sum()) for block in exact]
        blocks = Blocks(chosen.columns, len(rows.order), squares.tolist(), sums.tolist(), (1 / squares).tolist())
        return CoupledFactorization(
            blocks, concepts, penalties=NO_PENALTIES, solver="hals", start="nndsvda", seed=0, dtype=torch.float32
        )

    few = BlockRows(matrices, chunk=64, order=np.arange(64))
    trainer(6).fit(
        ConceptFactorization(factorization(few, 2), NAMES, 0.0), datamodule=few
    )  # import everything before the clock

    def work() -> dict[str, float]:
        rows = BlockRows(matrices, chosen.chunk)
        module = UntilObjective(factorization(rows, chosen.concepts), NAMES, tolerance=-1.0)
        trainer(10 * chosen.passes).fit(module, datamodule=rows)
        history = module.factorization.history
        return {"passes": len(history), "objective": history[-1][0]}

    return measured(work)


if __name__ == "__main__":
    main()
