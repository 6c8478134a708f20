"""Through the program: bad input is one line before any work, and a fit that was killed ends with the same bits."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import run
import study.classifiers
from methods.band_tolerance.fit import BandFit
from networks.classifier import Classifier
from tests.studies import compose

SMALL = ("task=band_tolerance", "classifiers=[vgg_compact]", "checkpoint_every=0")
UNTRAINED = ("classifier_settings={vgg_compact:{weights:random}}", "band_tolerance.controls=[]")
FOLDER = ("data=folder", "data.size=32", "data.resize=null", "data.workers=0")


class Interruption(Exception):
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``studies`` folder with one trained classifier; tests copy it."""
    studies = tmp_path_factory.mktemp("trained")
    run.run(compose(studies, "task=train_classifier", "classifier=vgg_compact", "train_classifier.epochs=8"))
    return studies


def refused(studies: Path, *overrides: str) -> str:
    """What the program says about something that it refuses."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        run.run(compose(studies, *SMALL, *UNTRAINED, *overrides))
    said = run.EXPLAIN(caught.value)
    assert said is not None
    assert "\n" not in said
    return said


def flat_images(root: Path, colours: list[int]) -> Path:
    """A folder of two classes with flat images."""
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for number, colour in enumerate(colours):
                Image.new("RGB", (32, 32), (colour, 60, 90)).save(root / split / name / f"{number}.png")
    return root


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.images=1"], r"there is 1 image in train, and two are needed at least: add images"),
        (["data.size=12"], r"images of 12 × 12 pixels are too small for 2 scales of the wavelet db4, which need 16 pi"),
        (["data.size=12", "band_tolerance.wavelet=haar"], r"wavelet haar, which need 16 pixels: use larger images"),
        (["band_tolerance.levels=9"], r"too small for 9 scales.* need 2048 pixels: use larger .* a lower band_tol"),
        (["band_tolerance.wavelet=db99"], r"band_tolerance.wavelet=db99: give an orthonormal wavelet of PyWavelets"),
        (
            ["band_tolerance.controls=[second_wavelet]", "band_tolerance.second_wavelet=bior2.2"],
            r"band_tolerance.second_wavelet=bior2.2: give an orthonormal wavelet",
        ),
        (
            ["band_tolerance.controls=[second_wavelet]", "band_tolerance.second_wavelet=db20"],
            r"images of 32 × 32 pixels are too small for 2 scales of the wavelet db20, which need 80 pixels",
        ),
        (
            ["band_tolerance.controls=[second_wavelet]", "band_tolerance.second_wavelet=db4"],
            r"band_tolerance.second_wavelet=db4 is band_tolerance.wavelet, too: give another one",
        ),
        (["band_tolerance.compared=0.3"], r"compared=0.3 is not one of band_tolerance.tolerances \(0.15, 1\): add it"),
        (["band_tolerance.tolerances=[0.15,0.15]"], r"band_tolerance.tolerances=\[0.15, ?0.15\]: give"),
        (["band_tolerance.tolerances=[]"], r"band_tolerance.tolerances=\[\]: give"),
        (["band_tolerance.tolerances=[0.15,-1]"], r"band_tolerance.tolerances=.*: give"),
        (["band_tolerance.images=1"], r"band_tolerance.images=1: give"),
        (["band_tolerance.split=test"], r"band_tolerance.split=test: give train or val"),
        (["band_tolerance.labels=answers"], r"band_tolerance.labels=answers: give decisions or labels"),
        (["band_tolerance.controls=[nothing]"], r"band_tolerance.controls=.*: give"),
        (["band_tolerance.lr=0"], r"band_tolerance.lr=0.*: give"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_work(overrides: list[str], message: str, tmp_path: Path) -> None:
    said = refused(tmp_path, *overrides)
    assert re.search(message, said), said
    assert not list(tmp_path.rglob("*.npz"))
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_split_of_the_test_images_is_refused(tmp_path: Path) -> None:
    root = flat_images(tmp_path / "data", [10, 20])
    shutil.rmtree(root / "test")  # val is then tested on
    said = refused(tmp_path / "studies", *FOLDER, f"data.root={root}", "band_tolerance.split=val")
    assert "the images of band_tolerance.split=val are those of test, too" in said
    assert said.endswith("use band_tolerance.split=train")


def test_images_of_one_colour_are_refused_and_those_of_several_are_not(tmp_path: Path) -> None:
    one = flat_images(tmp_path / "one", [10, 10, 10])
    said = refused(tmp_path / "studies", *FOLDER, f"data.root={one}")
    assert "the images are all the same colour all over: use other images" in said
    several = flat_images(tmp_path / "several", [10, 90, 200, 250])
    overrides = (*FOLDER, f"data.root={several}", "study=several")
    run.run(compose(tmp_path / "studies", *SMALL, *UNTRAINED, *overrides))
    with np.load(tmp_path / "studies" / "several" / "band_tolerance" / "vgg_compact.npz") as fitted:
        assert (fitted["variance"][:-1] < 1e-9).all()  # the low-pass alone varies
        assert fitted["variance"][-1].max() > 1e-3
    spectrum = pd.read_csv(tmp_path / "studies" / "several" / "band_tolerance" / "spectrum.csv")
    assert (spectrum[spectrum["orientation"] != "low_pass"]["bits"] == 0).all()


def test_logits_that_are_no_numbers_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Classifier.forward
    monkeypatch.setattr(Classifier, "forward", lambda self, images: original(self, images) * torch.nan)
    said = refused(tmp_path)
    assert re.search(r"the output of the classifier.* is not finite for image \d+: its weights or its training", said)
    assert not list(tmp_path.rglob("*.npz"))


def without_weights(classifier: Classifier) -> Classifier:
    """The same, but its last layer does not see the image."""
    last = [module for module in classifier.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    assert last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias[0] += 5
    return classifier


def test_a_classifier_that_answers_alike_on_everything_is_said_to(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "studies")
    load = study.classifiers.load_classifier
    monkeypatch.setattr(study.classifiers, "load_classifier", lambda *arguments: without_weights(load(*arguments)))
    run.run(compose(tmp_path / "studies", *SMALL, "band_tolerance.controls=[even]"))
    said = " ".join(capsys.readouterr().out.split())
    assert "vgg_compact decides for one class on every test image" in said
    assert "give it weights that fit these images, or leave it out" in said
    folder = tmp_path / "studies" / "smoke" / "band_tolerance"
    assert (pd.read_csv(folder / "curve.csv")["retention"] == 1).all()
    assert (pd.read_csv(folder / "bits.csv")["bits"] == 0).all()


def test_random_weights_that_answer_alike_on_everything_keep_all_at_no_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = study.classifiers.load_classifier
    monkeypatch.setattr(study.classifiers, "load_classifier", lambda *arguments: without_weights(load(*arguments)))
    run.run(compose(tmp_path, *SMALL, *UNTRAINED))
    with np.load(tmp_path / "smoke" / "band_tolerance" / "vgg_compact.npz") as fitted:
        assert fitted["scale"] == 1
        assert (fitted["distortion"] == 0).all()


def test_a_tolerance_that_is_not_reached_is_said(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "studies")
    tight = ("band_tolerance.tolerances=[1e-6]", "band_tolerance.compared=1e-6", "band_tolerance.start=0")
    run.run(compose(tmp_path / "studies", *SMALL, *tight, "band_tolerance.lr=1e-4", "band_tolerance.controls=[]"))
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"vgg_compact does not reach a tolerance of 1e-06 \(it is at [\d.]+ nats\): raise", said), said
    assert "or leave it out of band_tolerance.tolerances" in said


def contents(studies: Path) -> dict[str, bytes]:
    """What was made: all arrays and tables."""
    folder = studies / "smoke" / "band_tolerance"
    made = [path for path in sorted(folder.rglob("*")) if path.suffix in (".npz", ".csv")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in made}


CONTROLLED = (*SMALL, "band_tolerance.controls=[second_seed]", "band_tolerance.seeds=[0,4]")


@pytest.fixture(scope="module")
def whole(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a task that was left alone has made."""
    studies = tmp_path_factory.mktemp("whole")
    shutil.copytree(trained, studies, dirs_exist_ok=True)
    run.run(compose(studies, *CONTROLLED))
    return contents(studies)


@pytest.mark.parametrize("steps", [(5,), (4, 7, 9)], ids=str)  # 3 steps an epoch, 8 + 4 a fit: within, and repeatedly
def test_a_fit_that_was_killed_goes_on_to_the_same_bits(
    steps: tuple[int, ...], trained: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, tmp_path / "studies")
    original = BandFit.training_step
    for step in steps:
        seen: list[int] = []

        def interrupted(self: BandFit, batch: Any, batch_idx: int, seen: list[int] = seen, step: int = step) -> Any:
            seen.append(batch_idx)
            if len(seen) == step:
                raise Interruption
            return original(self, batch, batch_idx)

        with monkeypatch.context() as patched:
            patched.setattr(BandFit, "training_step", interrupted)
            with pytest.raises(Interruption):
                run.run(compose(tmp_path / "studies", *CONTROLLED))
        assert len(list(tmp_path.rglob("last.ckpt"))) == 1
    run.run(compose(tmp_path / "studies", *CONTROLLED))
    made = contents(tmp_path / "studies")
    assert made.keys() == whole.keys()
    assert {"vgg_compact.npz", "vgg_compact-seed4.npz", "controls/vgg_compact-second_seed.npz"} < made.keys()
    assert [name for name in made if made[name] != whole[name]] == []
    assert not list(tmp_path.rglob("*.ckpt"))


def test_chunks_and_workers_decide_nothing_but_rounding(trained: Path, whole: Any, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "studies")
    run.run(compose(tmp_path / "studies", *CONTROLLED, "band_tolerance.chunk=3", "data.workers=1"))
    (tmp_path / "whole.npz").write_bytes(whole["vgg_compact.npz"])
    found = np.load(tmp_path / "studies" / "smoke" / "band_tolerance" / "vgg_compact.npz")
    expected = np.load(tmp_path / "whole.npz")
    np.testing.assert_allclose(found["log_ratio"], expected["log_ratio"], rtol=0, atol=1e-3)
    assert np.array_equal(found["variance"], expected["variance"])


def test_nothing_is_made_twice(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(trained, tmp_path / "studies")
    run.run(compose(tmp_path / "studies", *CONTROLLED))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "studies").rglob("*.npz")}
    monkeypatch.setattr(BandFit, "training_step", lambda *_: pytest.fail("made twice"))
    run.run(compose(tmp_path / "studies", *CONTROLLED))
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "studies").rglob("*.npz")}
