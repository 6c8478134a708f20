"""Rows kept in files: each once in a pass, in chunks that keep groups whole, the same for any number of ranks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from methods.concepts.blocks import BlockRows, StoredMatrix


@pytest.fixture
def matrices(tmp_path: Path) -> list[StoredMatrix]:
    made = []
    for width, dtype in ((3, "float32"), (5, "float16")):
        matrix = StoredMatrix.create(tmp_path / f"{width}.npy", 23, width, dtype)
        matrix.write(np.arange(23), np.random.default_rng(width).random((23, width)).astype(dtype))
        made.append(matrix)
    return made


def test_what_is_written_is_read(matrices: list[StoredMatrix]) -> None:
    whole = np.load(matrices[0].path)
    assert np.array_equal(matrices[0].read(slice(2, 5)).numpy(), whole[2:5])
    assert np.array_equal(matrices[0].read(np.array([7, 1])).numpy(), whole[[7, 1]])
    matrices[0].read(slice(0, 3)).add_(1)  # copied on writing
    assert np.array_equal(np.load(matrices[0].path), whole)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("groups", [None, np.arange(23) % 4])
def test_every_row_comes_once_and_ranks_have_as_many_chunks(
    matrices: list[StoredMatrix], ranks: int, groups: np.ndarray | None
) -> None:
    rows = BlockRows(matrices, chunk=5, groups=groups)
    chunks = rows.chunks(ranks)
    assert len(chunks) % ranks == 0
    assert sorted(np.concatenate(chunks).tolist()) == list(range(23))
    if groups is not None:
        whole = [set(np.flatnonzero(groups == group)) for group in range(4)]
        assert all(group <= set(chunk) or not group & set(chunk) for group in whole for chunk in chunks)
    else:
        assert max(map(len, chunks)) <= 5


def test_rows_can_be_left_out_and_reordered(matrices: list[StoredMatrix]) -> None:
    order = np.array([20, 3, 4, 5, 11])
    rows = BlockRows(matrices, chunk=2, order=order)
    numbers, parts = zip(*rows.every_chunk(), strict=True)
    assert torch.cat(numbers).tolist() == list(range(5))
    found = torch.cat([blocks[1] for blocks in parts]).numpy()
    assert np.array_equal(found, np.load(matrices[1].path)[order])
    loaded = [numbers for numbers, _ in rows.train_dataloader()]
    assert torch.cat(loaded).tolist() == list(range(5))
