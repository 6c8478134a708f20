"""Lightning's factorisation is the plain one, on any number of ranks, resumed or not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from methods.concepts.blocks import BlockRows, Blocks, StoredMatrix
from methods.concepts.factorization import CoupledFactorization
from methods.concepts.fits import ConceptFactorization
from methods.concepts.hals import NO_PENALTIES, Penalties
from tests.methods.concepts.passes import begin, fit

ROWS, WIDTHS = 31, (6, 9)
GROUPS = np.arange(ROWS) // 8


def stored(folder: Path) -> list[StoredMatrix]:
    generator = np.random.default_rng(0)
    images = generator.random((ROWS, 3))
    made = []
    for width in WIDTHS:
        matrix = StoredMatrix.create(folder / f"{width}.npy", ROWS, width, "float64")
        matrix.write(np.arange(ROWS), images @ generator.random((3, width)) + 0.3 * generator.random((ROWS, width)))
        made.append(matrix)
    return made


def begun(matrices: list[StoredMatrix], penalties: Penalties = NO_PENALTIES) -> CoupledFactorization:
    whole = [np.load(matrix.path) for matrix in matrices]
    squares = [float((x**2).sum()) for x in whole]
    blocks = Blocks(WIDTHS, ROWS, squares, [float(x.sum()) for x in whole], [1 / square for square in squares])
    return begin(blocks, 3, penalties=penalties, groups=torch.from_numpy(GROUPS))


ON_RANKS = """
import sys
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from methods.concepts.blocks import BlockRows, StoredMatrix
from methods.concepts.fits import ConceptFactorization
from methods.concepts.hals import NO_PENALTIES, Penalties

from tests.methods.concepts.test_fits import GROUPS, WIDTHS, begun
from study.lightning_fixes import quiet_lightning

quiet_lightning()
folder, ranks = Path(sys.argv[1]), int(sys.argv[2])
matrices = [StoredMatrix.find(folder / f"{width}.npy") for width in WIDTHS]
for name, penalties in {"plain": NO_PENALTIES, "grouped": Penalties(0.001, 0.01, 0.001, 0.01)}.items():
    module = ConceptFactorization(begun(matrices, penalties), ["a", "b"], tolerance=-1.0)
    trainer = pl.Trainer(
        accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto", logger=False, max_epochs=12,
        enable_progress_bar=False, enable_checkpointing=False, use_distributed_sampler=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=BlockRows(matrices, chunk=4, groups=GROUPS if penalties.group else None))
    assert trainer.world_size == ranks
    found = module.factorization
    arrays = {"images": module.gathered(), "factors": torch.cat(found.factors, dim=1)}
    arrays["history"] = torch.tensor(found.history)
    np.savez(folder / f"{name}{ranks}_{trainer.global_rank}.npz", **{key: part.numpy() for key, part in arrays.items()})
"""


@pytest.mark.slow
def test_one_two_and_three_ranks_find_the_same(tmp_path: Path) -> None:
    stored(tmp_path)
    (tmp_path / "script.py").write_text(ON_RANKS)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    for ranks in ("1", "2", "3"):
        command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path), ranks]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for name in ("plain", "grouped"):
        one = np.load(tmp_path / f"{name}1_0.npz")
        for rank in ("2_0", "2_1", "3_0", "3_2"):
            other = np.load(tmp_path / f"{name}{rank}.npz")
            for key in ("images", "factors", "history"):
                assert np.abs(one[key] - other[key]).max() < 1e-10


SAVED_AT_ONCE = """
import sys
from pathlib import Path

import pytorch_lightning as pl

from callbacks.checkpointing import Checkpointing
from methods.concepts.blocks import BlockRows, StoredMatrix
from methods.concepts.fits import ConceptFactorization

from tests.methods.concepts.test_fits import WIDTHS, begun
from study.lightning_fixes import quiet_lightning

quiet_lightning()
folder = Path(sys.argv[1])
matrices = [StoredMatrix.find(folder / f"{width}.npy") for width in WIDTHS]
for epochs, resumed in ((9, None), (10, folder / "9.ckpt")):
    module = ConceptFactorization(begun(matrices), ["a", "b"], tolerance=-1.0)
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, max_epochs=epochs, enable_progress_bar=False,
        enable_checkpointing=False, use_distributed_sampler=False, enable_model_summary=False,
        callbacks=[Checkpointing(folder / "again.ckpt", 0, "", between_epochs=True)] if resumed else [],
    )
    trainer.fit(module, datamodule=BlockRows(matrices, chunk=4), ckpt_path=resumed, weights_only=True)
    if not resumed:
        trainer.save_checkpoint(folder / "9.ckpt")
"""


@pytest.mark.slow
def test_what_goes_on_on_two_ranks_can_be_saved_before_the_first_image(tmp_path: Path) -> None:
    stored(tmp_path)
    (tmp_path / "script.py").write_text(SAVED_AT_ONCE)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, again = (
        torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["factorization"] for name in ("9", "again")
    )
    assert len(first["history"]) == 4
    assert first["history"] == again["history"]
    assert torch.equal(first["image_factor"], again["image_factor"])


def test_an_epoch_is_a_pass(tmp_path: Path, make_trainer: Callable[..., pl.Trainer]) -> None:
    matrices = stored(tmp_path)
    rows = BlockRows(matrices, chunk=7)
    module = ConceptFactorization(begun(matrices), ["a", "b"], tolerance=-1.0)
    trainer = make_trainer(max_epochs=5 + 9)
    trainer.fit(module, datamodule=rows)
    plain = begun(matrices)
    fit(plain, rows.every_chunk, 9, tolerance=-1.0)
    assert module.factorization.history == plain.history
    assert torch.equal(module.gathered(), plain.image_factor)
    assert float(trainer.callback_metrics["train/objective"]) == pytest.approx(plain.history[-1][0])
    assert float(trainer.callback_metrics["train/error b"]) == pytest.approx(plain.history[-1][2])


def test_it_stops_when_little_changes(tmp_path: Path, make_trainer: Callable[..., pl.Trainer]) -> None:
    matrices = stored(tmp_path)
    module = ConceptFactorization(begun(matrices), ["a", "b"], tolerance=1e-3)
    make_trainer(max_epochs=500).fit(module, datamodule=BlockRows(matrices, chunk=1024))
    plain = begun(matrices)
    assert (
        fit(plain, BlockRows(matrices, chunk=1024).every_chunk, 500, tolerance=1e-3)
        == len(module.factorization.history)
        < 200
    )


@pytest.mark.parametrize("passes", [2, 9])
def test_a_checkpoint_goes_on_to_the_same_bits(
    tmp_path: Path, make_trainer: Callable[..., pl.Trainer], passes: int
) -> None:
    matrices = stored(tmp_path)
    whole, first, second = (ConceptFactorization(begun(matrices), ["a", "b"], tolerance=-1.0) for _ in range(3))
    make_trainer(max_epochs=15).fit(whole, datamodule=BlockRows(matrices, chunk=7))
    trainer = make_trainer(max_epochs=passes)
    trainer.fit(first, datamodule=BlockRows(matrices, chunk=7))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    make_trainer(max_epochs=15).fit(
        second, datamodule=BlockRows(matrices, chunk=7), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert torch.equal(whole.gathered(), second.gathered())
    assert whole.factorization.history == second.factorization.history
