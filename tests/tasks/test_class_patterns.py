"""Patterns of a study's classifiers: tables that agree with the classifiers themselves, and nothing made twice."""

import shutil
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import torch

import run
from methods.class_patterns.job import chosen_classes
from methods.class_patterns.patterns import Patterns, paste
from methods.class_patterns.report import read
from methods.class_patterns.search_module import PatternSearch
from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet, CompactVGG
from networks.weights import load_weights
from study.data import make_data
from study.records import read_record
from tests.datamodules.trees import make_tree
from tests.studies import Program, compose

SMALL = (
    "task=class_patterns", "class_patterns.epochs=2", "class_patterns.search_images=16",
    "class_patterns.evaluation_images=12", "class_patterns.budgets=[0.05,0.2]", "class_patterns.classes=3",
    "checkpoint_every=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def patterned(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``studies`` folder of a smoke study with patterns; tests copy it, and never write to it."""
    studies = tmp_path_factory.mktemp("patterned")
    shutil.copytree(finished, studies, dirs_exist_ok=True)
    run.run(compose(studies, *SMALL))
    return studies


def read_patterns(path: Path) -> Patterns:
    return read_record(Patterns, path)


def pixels_of(found: Patterns, pair: int) -> torch.Tensor:
    """A canvas, in [0, 1]."""
    return torch.from_numpy(found.canvases[pair]).float() / 255


def hard_success(classifier: Classifier, images: torch.Tensor, scores: Any, canvas: torch.Tensor, target: int) -> float:
    """Of the 5 % of the pixels with the highest scores, pasted on one image after the other."""
    count, flat = round(0.05 * scores.size), np.asarray(scores).ravel()
    chosen = np.zeros(scores.size, dtype=bool)
    chosen[np.argsort(-flat, kind="stable")[:count]] = True
    assert flat[chosen].min() > flat[~chosen].max()  # no ties, else chance decides
    there = torch.from_numpy(chosen.reshape(scores.shape))
    hits = 0
    for image in images:
        pasted = image.clone()
        pasted[:, there] = canvas[:, there]
        with torch.no_grad():
            hits += int(classifier(pasted[None]).argmax()) == target
    return hits / len(images)


def test_the_tables_equal_predictions_one_by_one(patterned: Path) -> None:
    cfg, folder = compose(patterned, *SMALL), patterned / "smoke" / "class_patterns"
    data, table = make_data(cfg), pd.read_csv(folder / "success.csv")
    test = data.split("test")
    networks = {"vgg_compact": CompactVGG, "resnet_compact": CompactResNet}
    for name, network in networks.items():
        classifier = Classifier(network(len(data.classes))).eval()
        load_weights(classifier, patterned / "smoke" / "classifiers" / f"{name}.safetensors")
        with np.load(folder / "predictions" / f"{name}.npz") as predictions:
            images = torch.stack([test[index][0] for index in predictions["index"].tolist()]).float() / 255
            assert len(images) == 12
        with torch.no_grad():
            clean = classifier(images).argmax(dim=1)

        found = read_patterns(folder / f"{name}.npz")
        for row in table[(table["classifier"] == name) & (table["seed"] == -1)].to_dict("records"):
            target, canvas = data.classes.index(row["class"]), pixels_of(found, row["pair"])
            free = clean != target
            if row["method"] == "canvas":
                with torch.no_grad():
                    assert row["success"] == float(classifier(canvas[None]).argmax() == target)
            if row["method"] == "saliency" and row["budget"] == 0.05:
                inputs = canvas[None].clone().requires_grad_()
                classifier(inputs)[0, target].backward()
                assert inputs.grad is not None
                scores = inputs.grad[0].abs().amax(dim=0).numpy()
                assert row["success"] == pytest.approx(hard_success(classifier, images[free], scores, canvas, target))
        for seed, file in ((0, name), (1, f"{name}-seed1")):
            found = read_patterns(folder / f"{file}.npz")
            rows = table[(table["classifier"] == name) & (table["seed"] == seed)]
            rows = rows[rows["method"].isin(["pattern", "neural_cleanse"]) & (rows["budget"] == 0.05)]
            assert sorted(rows["pair"]) == list(range(12))
            for row in rows.to_dict("records"):
                target, pair = data.classes.index(row["class"]), row["pair"]
                assert found.targets[pair] == target
                assert (found.kinds[pair], found.numbers[pair]) == (row["kind"], row["number"])
                canvas = pixels_of(found, pair)
                with torch.no_grad():
                    seen = classifier(paste(images, canvas, torch.from_numpy(found.masks[pair]))).argmax(dim=1)
                free = clean != target
                assert row["images"] == int(free.sum())
                assert row["soft"] == pytest.approx(float((seen[free] == target).float().mean()))
                assert row["clean"] == pytest.approx(float((clean == target).float().mean()))
                assert row["pixels"] == round(0.05 * found.masks[0].size)
                assert row["success"] == pytest.approx(
                    hard_success(classifier, images[free], found.masks[pair], canvas, target)
                )
    assert set(table["method"]) == {"pattern", "neural_cleanse", "random", "centre", "saliency", "canvas"}
    assert ((table["lower"] <= table["success"]) & (table["success"] <= table["upper"])).all()
    assert (table[table["method"] == "canvas"]["budget"] == 1).all()
    assert np.allclose(table["gap"].dropna(), (table["soft"] - table["success"]).dropna())
    transfer = pd.read_csv(folder / "transfer.csv")
    own = transfer[transfer["source"] == transfer["target"]].merge(
        table.query("method == 'pattern' and budget == 0.05 and seed == 0"),
        left_on=["target", "class", "pair"], right_on=["classifier", "class", "pair"],
    )  # fmt: skip
    assert len(own) == 2 * 3 * 3
    assert np.allclose(own["success_x"], own["success_y"])
    assert len(transfer) == 2 * len(own)
    others = transfer[(transfer["source"] == "vgg_compact") & (transfer["target"] == "resnet_compact")]
    found = read_patterns(folder / "vgg_compact.npz")
    for row in others.to_dict("records"):  # of the last network above, the ResNet
        target, canvas = data.classes.index(row["class"]), pixels_of(found, row["pair"])
        scores, free = found.masks[row["pair"]], clean != target
        assert row["success"] == pytest.approx(hard_success(classifier, images[free], scores, canvas, target))


def test_pictures_are_transparent_where_the_pattern_is_not(patterned: Path) -> None:
    folder = patterned / "smoke" / "class_patterns"
    found = read_patterns(folder / "vgg_compact.npz")
    pictures = sorted((folder / "pictures" / "vgg_compact").glob("*.png"))
    assert len(pictures) == len(found.targets)
    for path in pictures:
        rgba = (255 * matplotlib.image.imread(path)).round().astype(np.uint8)
        opaque = rgba[..., 3] == 255
        assert opaque.sum() == round(0.05 * opaque.size)
        assert not rgba[~opaque].any()
        matching = [(canvas.transpose(1, 2, 0)[opaque] == rgba[opaque][:, :3]).all() for canvas in found.canvases]
        assert any(matching)


def test_the_canvases_and_search_images_are_not_those_tested_on(patterned: Path) -> None:
    data = make_data(compose(patterned, *SMALL))
    found = read_patterns(patterned / "smoke" / "class_patterns" / "vgg_compact.npz")
    assert found.searched.tolist() == sorted(set(found.searched.tolist()))
    for pair, source in enumerate(found.sources.tolist()):
        if source >= 0:
            assert np.array_equal(data.split("val")[source][0].numpy(), found.canvases[pair])


def test_nothing_is_made_twice_and_another_seed_is_added(patterned: Path, tmp_path: Path) -> None:
    shutil.copytree(patterned, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "smoke" / "class_patterns"

    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    before = times()
    run.run(compose(tmp_path, *SMALL, "class_patterns.chunk=7"))  # decides memory alone
    assert times() == before
    with pytest.raises(ValueError, match=r"class_patterns.seeds was \[0, 1\], now \[0, 1, 2\]"):
        run.run(compose(tmp_path, *SMALL, "class_patterns.seeds=[0,1,2]"))
    for path in (folder / "success.csv", *(folder / "predictions").glob("*.npz")):
        path.unlink()
    run.run(compose(tmp_path, *SMALL, "class_patterns.seeds=[0,1,2]"))
    kept = [path for path in before if path.parent == folder and path.suffix == ".npz"]
    assert len(kept) == 4
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)
    assert set(pd.read_csv(folder / "success.csv")["seed"]) == {-1, 0, 1, 2}


class Interruption(Exception):
    pass


def test_a_killed_search_goes_on_to_the_same_patterns(
    patterned: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    original, steps = PatternSearch.training_step, []

    def step(self: PatternSearch, batch: Any, batch_idx: int) -> Any:
        steps.append(batch_idx)
        if len(steps) == 7:  # the first search has four
            raise Interruption
        return original(self, batch, batch_idx)

    monkeypatch.setattr(PatternSearch, "training_step", step)
    with pytest.raises(Interruption):
        run.run(compose(tmp_path, *SMALL))
    assert len(list(tmp_path.rglob("last.ckpt"))) == 1
    run.run(compose(tmp_path, *SMALL))
    assert len(steps) == 16 + 1  # none but the one in which it was killed is made again
    for path in (patterned / "smoke" / "class_patterns").glob("*.npz"):
        with np.load(path) as whole, np.load(tmp_path / path.relative_to(patterned)) as resumed:
            assert all(np.array_equal(whole[name], resumed[name]) for name in whole.files)
    assert not list(tmp_path.rglob("last.ckpt"))


def test_the_published_search_runs(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    options = ("epochs=1", "seeds=[3]", "canvases={other:0,noise:0,learned:0}")
    changes = [f"class_patterns.{option}" for option in options]
    published = ("presets/class_patterns=published", "classifiers=[vgg_compact]")
    run.run(compose(tmp_path, *SMALL, *changes, *published))
    found = read_patterns(tmp_path / "smoke" / "class_patterns" / "vgg_compact-seed3.npz")
    steps = (found.masks - 0.5) / 0.02
    assert np.allclose(steps, steps.round(), atol=1e-3)
    assert np.abs(steps.round()).max() == 4  # as many as there are batches of four


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer=wild", "optimizer=wild: give adam or sign"),
        ("split=test", "split=test: give val or train"),
        ("budgets=[0.05,1.5]", "budgets=.*above 0 to 1"),
        ("shown=0.3", "shown=0.3: choose one of class_patterns.budgets"),
        ("seeds=[]", "seeds=.*1 or more of them"),
        ("seeds=[0,0]", "seeds=.*each once"),
        ("alpha=1.5", "alpha=1.5: give a number from 0 to 1"),
        ("classes=[class_0,cat]", "cat is no class of the data; choose from class_0"),
        ("classes=99", "classes=99: there are images of 6 classes"),
        ("search_images=1", "of one class"),
        ("canvases={own:0,other:0,noise:0}", "give one of own, other, noise at least"),
        ("canvases.own=-1", "canvases.own=-1: give a whole number from 0 on"),
        ("classes=[cat,cat]", "names, each once"),
        ("epochs=0", "epochs=0: give a whole number from 1 on"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(override: str, message: str, copied: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run.run(compose(copied, *SMALL, f"++class_patterns.{override}"))
    assert not (copied / "smoke" / "class_patterns").exists()


def test_images_that_are_tested_on_are_not_searched_on(copied: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "images", 2, 2)
    with pytest.raises(ValueError, match=r"class_patterns.split=val: these images are those of test, too"):
        run.run(compose(copied, *SMALL, "data=folder", f"data.root={tree}", "data.size=32", "data.resize=32"))


def test_gradients_are_not_accumulated(finished: Path, tmp_path: Path, patterned: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    run.run(compose(tmp_path, *SMALL, "trainer.accumulate_grad_batches=2", "classifiers=[vgg_compact]"))
    file = Path("smoke/class_patterns/vgg_compact.npz")
    one, two = (read_patterns(studies / file) for studies in (patterned, tmp_path))
    assert np.array_equal(one.masks, two.masks)


def test_a_classifier_that_is_not_trained_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="task=train_classifier"):
        run.run(compose(tmp_path, *SMALL))


def test_a_class_without_images_has_no_canvas_of_its_own(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    named = "class_patterns.classes=[class_3,class_4,class_5]"
    few = ("data.images=4", named, "class_patterns.seeds=[0]", "classifiers=[vgg_compact]")
    trusted = "inputs.trusted=true"  # the classifier was trained on more images
    run.run(compose(tmp_path, *SMALL, *few, trusted))  # four images, one each of four of the six classes
    assert "no image in val of class_4, class_5: no canvas of their own" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "smoke" / "class_patterns" / "success.csv")
    kinds = table.groupby("class")["kind"].unique().map(set).to_dict()
    assert kinds["class_5"] == {"other", "noise", "learned"}
    assert kinds["class_3"] == {"own", "other", "noise", "learned"}
    assert read(tmp_path / "smoke", {}) is not None  # with gaps in the grid


@pytest.mark.slow
def test_two_ranks_make_the_tables_of_one(patterned: Path, finished: Path, tmp_path: Path, program: Program) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    program("experiment=smoke", f"studies={tmp_path}", *SMALL, "trainer.devices=2", "trainer.strategy=ddp")
    one, two = (studies / "smoke" / "class_patterns" for studies in (patterned, tmp_path))
    for path in one.glob("*.npz"):
        first, second = read_patterns(path), read_patterns(two / path.name)
        assert np.allclose(first.masks, second.masks, atol=1e-3)
        assert np.array_equal(first.targets, second.targets)
    table, another = (pd.read_csv(folder / "success.csv") for folder in (one, two))
    known = ["classifier", "class", "pair", "method", "budget", "seed", "images"]
    assert table[known].equals(another[known])
    assert (table["success"] - another["success"]).abs().mean() < 0.01  # rounding may turn an image on the edge


class Labelled(list[int]):
    """A split that has labels only."""

    def label(self, index: int) -> int:
        return self[index]


def test_classes_are_all_or_a_number_or_named() -> None:
    names = ["a", "b", "c", "d", "e"]
    assert chosen_classes(None, names, Labelled([4, 3, 0, 2, 0]), False) == [0, 2, 3, 4]  # type: ignore[arg-type]
    assert chosen_classes(3, names, Labelled([0, 1, 2, 3, 4]), False) == [0, 2, 4]  # type: ignore[arg-type]
    assert chosen_classes(2, names, Labelled([3, 1]), False) == [1, 3]  # type: ignore[arg-type]
    assert chosen_classes(["e", "b"], names, Labelled([1]), False) == [4, 1]  # type: ignore[arg-type]
    assert chosen_classes(2, names, Labelled([3, 1, 1, 4, 4, -1, -1, -1]), True) == [1, 4]  # type: ignore[arg-type]
