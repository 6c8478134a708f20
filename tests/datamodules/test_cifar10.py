"""CIFAR-10 from tiny files in its own format: pixels and labels are the file's, and other files are not opened."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from torchvision.datasets import CIFAR10

import run
from datamodules.sampling import Draw
from tests.images import cifar10
from tests.studies import compose_any

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCH = 4  # images of a file; the real ones have 10,000


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (BATCH, 3072), dtype=np.uint8)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of the format, whose sums take the place of the published ones."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    contents = {
        f"data_batch_{number}": {"data": pixels(number), "labels": [(number + place) % 10 for place in range(BATCH)]}
        for number in range(1, 6)
    }
    contents["test_batch"] = {"data": pixels(0), "labels": [7, 3, 3, 0]}
    sums = {}
    for name, content in {**contents, "batches.meta": {"label_names": NAMES}}.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()  # noqa: S324
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in sums if name.startswith("data")])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    return tmp_path


def test_pixels_and_labels_are_those_of_the_files(written: Path) -> None:
    data = cifar10(written, held_out=6)
    assert data.classes == NAMES
    test = data.split("test")
    assert [test.label(place) for place in range(4)] == [7, 3, 3, 0]
    for place, row in enumerate(pixels(0)):  # as the format says: 1,024 reds row by row, then greens, then blues
        image, label, index = test[place]
        assert image.dtype == torch.uint8
        assert torch.equal(image, torch.from_numpy(row.reshape(3, 32, 32)))
        assert (label, index) == (test.label(place), place)


def test_every_training_image_is_in_one_split_with_its_label(written: Path) -> None:
    data = cifar10(written, held_out=6, margin=0)
    expected = sorted(
        (row.tobytes(), (number + place) % 10) for number in range(1, 6) for place, row in enumerate(pixels(number))
    )
    found, sizes = [], []
    for name in ("train", "val"):
        split = data.split(name)
        sizes.append(len(split))
        found += [(split.images[place].numpy().tobytes(), split.label(place)) for place in range(len(split))]  # type: ignore[attr-defined]
    assert sizes == [14, 6]
    assert sorted(found) == expected
    again = cifar10(written, held_out=6, seed=5)
    assert torch.equal(again.split("val")[0][0], data.split("val")[0][0])  # no seed moves images between splits


def test_training_crops_are_windows_of_the_margined_image(written: Path) -> None:
    split = cifar10(written, held_out=6, margin=4).split("train")
    whole = np.pad(split.images[2].numpy(), ((0, 0), (4, 4), (4, 4)))  # type: ignore[attr-defined]
    windows = {
        whole[:, top : top + 32, left : left + 32][:, :, ::step].tobytes()
        for top in range(9)
        for left in range(9)
        for step in (1, -1)
    }
    crops = [split[Draw(2, seed)][0] for seed in range(20)]
    assert all(crop.shape == (3, 32, 32) and crop.numpy().tobytes() in windows for crop in crops)
    assert len({crop.numpy().tobytes() for crop in crops}) > 10
    assert torch.equal(split[Draw(2, 3)][0], crops[3])


def test_the_folder_itself_can_be_named_too(written: Path) -> None:
    inside = cifar10(written / "cifar-10-batches-py", held_out=6)
    assert inside.fingerprint() == cifar10(written, held_out=6).fingerprint()


def test_batches_and_pictures_come_out(written: Path) -> None:
    data = cifar10(written, held_out=6, batch_size=7)
    assert [len(batch[0]) for batch in data.train_dataloader()] == [7, 7]
    assert list(data.showcase(2)) == ["horse_0", "cat_1"]
    assert data.smallest_side == 32


def test_missing_files_are_named_with_where_to_get_and_put_them(written: Path) -> None:
    (written / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match=r"cifar-10-batches-py has no data_batch_3: download https://\S+ "):
        cifar10(written)
    empty = written / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match=rf"data.root={empty} has no cifar-10-batches-py/ folder: download"):
        cifar10(empty)


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
def test_a_changed_pickle_is_refused_before_it_runs(name: str, written: Path) -> None:
    marker = written / "marker"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (marker,))

    (written / "cifar-10-batches-py" / name).write_bytes(pickle.dumps({"data": Trap(), "labels": [], "label_names": 0}))
    with pytest.raises(ValueError, match=rf"{name} is not the published file .*an unknown pickle could run any code"):
        cifar10(written)
    assert not marker.exists()


def test_options_out_of_range_are_refused(written: Path) -> None:
    with pytest.raises(ValueError, match=r"data.held_out=5000: hold out at least 1 and fewer than 20 images"):
        cifar10(written)
    with pytest.raises(ValueError, match=r"data.margin=-1: use 0 pixels or more"):
        cifar10(written, held_out=6, margin=-1)


def test_the_program_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    options = ("task=train_classifier", "data=cifar10", "classifier=resnet18_cifar10", "autoencoder=none")
    with pytest.raises(InstantiationException) as caught:
        run.run(compose_any(tmp_path, *options, f"data.root={tmp_path}"))
    line = run.EXPLAIN(caught.value)
    assert f"data.root={tmp_path} has no cifar-10-batches-py/ folder: download https://" in line
    assert "\n" not in line
    with pytest.raises(ValueError, match=r"data.root is not set"):
        run.run(compose_any(tmp_path, *options))


def test_a_network_for_small_images_learns_them(written: Path, tmp_path: Path) -> None:
    options = (
        "task=train_classifier", "data=cifar10", "classifier=resnet18_cifar10", "autoencoder=none", "data.held_out=6",
        "data.workers=0", "train_classifier.epochs=1", "train_classifier.batch_size=7", "study=tiny",
    )  # fmt: skip
    assert 0 <= run.run(compose_any(tmp_path, *options, f"data.root={written}")) <= 1
    assert (tmp_path / "tiny" / "classifiers" / "resnet18_cifar10.safetensors").exists()
