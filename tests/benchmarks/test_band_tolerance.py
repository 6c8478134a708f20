"""The benchmark of band tolerance: its images, and that it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks.band_tolerance import Crops, crop, exponent, half_of, memory
from tests.studies import REPOSITORY


def test_halves_share_no_pixel_and_are_cut_across_the_longer_side() -> None:
    wide = torch.arange(3 * 4 * 10).view(3, 4, 10)
    assert torch.equal(torch.cat([half_of(wide, 0), half_of(wide, 1)], dim=2), wide)
    high = wide.transpose(1, 2)
    assert torch.equal(torch.cat([half_of(high, 0), half_of(high, 1)], dim=1), high)


def test_a_crop_of_a_flat_image_is_flat_and_has_the_size() -> None:
    flat = torch.full((3, 150, 240), 77, dtype=torch.uint8)
    square = crop(flat, 32, torch.Generator().manual_seed(0))
    assert square.shape == (3, 32, 32)
    assert square.dtype == torch.uint8
    assert (square == 77).all()


def test_images_depend_on_the_seed_alone() -> None:
    def images(seed: int) -> torch.Tensor:
        data = Crops((2, 3), 32, batch_size=2, seed=seed, workers=0, augmentation="crop_flip")
        assert (len(data.split("train")), len(data.split("test"))) == (2, 3)
        return torch.stack([data.split("test")[number][0] for number in range(3)])

    assert torch.equal(images(0), images(0))
    assert not torch.equal(images(0), images(1))


def test_the_exponent_is_that_of_a_power_law() -> None:
    assert exponent([1, 10, 100], [3.0, 3 * 10**0.5, 30.0]) == pytest.approx(0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_grows_with_what_is_kept() -> None:
    before = memory("VmRSS")
    kept = torch.ones(2**24)  # 64 MiB
    assert memory("VmRSS") - before >= 0.9 * kept.nbytes
    assert memory("VmHWM") >= memory("VmRSS") - 2**20


@pytest.mark.slow
def test_it_runs_small(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    command = [sys.executable, "benchmarks/band_tolerance.py", "--tiny", "--out", str(tmp_path), "--threads", "1"]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    for words in ("Peak memory above the network", "| water_filling |", "seconds ~ pixels^", "seconds ~ images^"):
        assert words in done.stdout
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert (curve["kind"] == "fit").sum() == 5
    spectrum = pd.read_csv(tmp_path / "spectrum.csv")
    bits = spectrum.groupby("tolerance")["bits"].sum()
    assert bits.tolist() == pytest.approx(curve.query("kind == 'fit'").sort_values("tolerance")["bits"].tolist())
