"""CIFAR-100 from tiny files in its own format; what it shares with CIFAR-10 is tested there."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from torchvision.datasets import CIFAR100

import run
from datamodules.views.subset import ImageSubset
from tests.images import cifar100, cued_images
from tests.studies import compose_any

FINE = [f"fine {label}" for label in range(100)]
COARSE = [f"coarse {label}" for label in range(20)]
PARENT = [(7 * label + 3) % 20 for label in range(100)]  # five classes in each, in no order


def content(images: int, seed: int) -> dict[str, object]:
    generator = np.random.default_rng(seed)
    fine = [int(label) for label in generator.permutation(images) % 100]
    pixels = generator.integers(0, 256, (images, 3072), dtype=np.uint8)
    return {"data": pixels, "fine_labels": fine, "coarse_labels": [PARENT[label] for label in fine]}


def write(folder: Path, contents: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {}
    for name, what in contents.items():
        (folder / name).write_bytes(pickle.dumps(what))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()  # noqa: S324
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": sums["meta"]})


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of the format, whose sums take the place of the published ones."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    meta = {"fine_label_names": FINE, "coarse_label_names": COARSE}
    write(folder, {"train": content(130, 1), "test": content(20, 2), "meta": meta}, monkeypatch)
    return tmp_path


def test_pixels_labels_and_super_classes_are_those_of_the_files(written: Path) -> None:
    data = cifar100(written, held_out=30)
    assert data.classes == FINE
    assert data.superclasses == [f"coarse {PARENT[label]}" for label in range(100)]
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [100, 30, 20]
    expected = content(20, 2)
    for place, (row, label) in enumerate(zip(expected["data"], expected["fine_labels"], strict=True)):  # type: ignore[call-overload]
        assert torch.equal(data.split("test")[place][0], torch.from_numpy(row.reshape(3, 32, 32)))
        assert data.split("test").label(place) == label


def test_a_class_in_two_super_classes_is_refused(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twofold = content(130, 1)
    place = twofold["fine_labels"].index(5)  # type: ignore[attr-defined]
    twofold["coarse_labels"][place] = (PARENT[5] + 1) % 20  # type: ignore[index]
    meta = {"fine_label_names": FINE, "coarse_label_names": COARSE}
    write(written / "cifar-100-python", {"train": twofold, "test": content(20, 2), "meta": meta}, monkeypatch)
    with pytest.raises(ValueError, match=r"images of fine 5 are in more than one super-class"):
        cifar100(written, held_out=30)


def test_missing_and_changed_files_are_told(written: Path) -> None:
    (written / "cifar-100-python" / "test").write_bytes(b"no pickle")
    with pytest.raises(ValueError, match=r"test is not the published file .* Unpack cifar-100-python.tar.gz again"):
        cifar100(written)
    (written / "cifar-100-python" / "meta").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"has no meta: download https://\S+cifar-100-python.tar.gz where .*data"
    ):
        cifar100(written)


def test_the_program_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    options = ("task=train_classifier", "data=cifar100", "classifier=resnet18_cifar100", "autoencoder=none")
    with pytest.raises(InstantiationException) as caught:
        run.run(compose_any(tmp_path, *options, f"data.root={tmp_path}"))
    line = run.EXPLAIN(caught.value)
    assert f"data.root={tmp_path} has no cifar-100-python/ folder: download https://" in line
    assert "\n" not in line


def test_chosen_images_keep_super_classes_and_attributes(written: Path) -> None:
    assert ImageSubset(cifar100(written, held_out=30), [1, 4]).superclasses is not None
    drawn = cued_images(cues=["shape"], images=8, held_out=12)
    assert drawn.superclasses is None
    chosen = ImageSubset(drawn, [2, 5, 7])
    assert chosen.attributes == ("colour", "shape", "texture", "background")
    whole, part = drawn.split("test"), chosen.split("test")
    assert torch.equal(part.values, whole.values[[2, 5, 7]])  # type: ignore[attr-defined]
    assert [int(row[1]) for row in part.values] == [part.label(place) for place in range(3)]  # type: ignore[attr-defined]
