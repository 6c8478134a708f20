"""Files that are damaged, missing or in the wrong place are named in one line: what benchmarks/fuzz.py has found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

import run
from callbacks.checkpointing import Checkpointing
from datamodules.arrays import read_array
from datamodules.digests import read_checked, with_digest
from datamodules.image_index import image_index
from networks.weights import read_weights
from study.jobs import recorded
from study.predictions import prediction_arrays, read_predictions
from study.records import read_arrays
from study.step import read_metrics, write_metrics
from tasks.intervals import of_classifiers, read_covariates
from tasks.sweep_table import read_jobs
from tests.datamodules.trees import make_tree
from tests.images import image_folder, image_shards
from tests.stats.drawn import drawn_predictions
from tests.studies import compose

Change = Callable[[Path], object]


def overwritten(content: bytes) -> Change:
    return lambda path: path.write_bytes(content)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"a": 1}{', b"[" * 100_000, b"null", b'{"a": 1}'])
def test_a_damaged_record_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"record\.json"):
        read_checked(path)


def test_a_document_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(with_digest({"a": 1}, "first")))
    assert read_checked(path, "first") == {"a": 1}
    with pytest.raises(ValueError, match=r"record\.json is damaged or was changed"):
        read_checked(path, "second")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("order/lattice.json", Path.unlink, r"lattice\.json is gone, though its record is there: python run\.py"),
        ("intervals/gains.csv", Path.unlink, r"gains\.csv is gone, though its record is there"),
        ("intervals/provenance.json", overwritten(b"{}"), r"intervals/provenance\.json has no digest"),
        ("autoencoders/pretrained.json", overwritten(b"{"), r"pretrained\.json is damaged"),
        ("cross_evaluation/cross_evaluation.json", Path.unlink, r"accuracy\.csv has no record of how it was made"),
        ("order/provenance.json", Path.unlink, r"order/order\.json has no digest of its content"),
        ("autoencoders/vgg_compact.json", Path.unlink, r"vgg_compact\.safetensors has no record of how it was made"),
        ("intervals/gains.csv", folder_instead, r"gains\.csv is no file"),
    ],
)  # fmt: skip
def test_the_page_shows_no_file_without_a_whole_record(name: str, change: Change, message: str, copied: Path) -> None:
    change(copied / "smoke" / name)
    before = (copied / "smoke" / "report" / "index.html").stat().st_mtime_ns
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run.run(compose(copied, "task=report"))
    assert (copied / "smoke" / "report" / "index.html").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["order/order.json", "order/provenance.json"])
def test_a_folder_in_the_place_of_a_file_is_named(name: str, copied: Path) -> None:
    folder_instead(copied / "smoke" / name)
    with pytest.raises(ValueError, match=rf"{name} is a folder where a file belongs: remove it"):
        run.run(compose(copied, "task=order"))


def make_job(root: Path, name: str, number: float) -> Path:
    folder = root / "jobs" / name
    folder.mkdir(parents=True)
    config = OmegaConf.to_yaml({"task": "pretrain", "seed": 0, "classifier": {"name": "vgg"}})
    write_metrics(folder, {"loss": number})
    with recorded(folder, ["seed=0"], config, str) as outcome:
        outcome["objective"] = number
    return folder


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("job.json", overwritten(b"")),
        ("job.json", folder_instead),
        ("job.json", lambda path: shutil.copy(path.parents[1] / "second" / "job.json", path)),
        ("config.yaml", lambda path: path.write_text(path.read_text().replace("seed: 0", "seed: 1"))),
        ("config.yaml", overwritten(b"\xff")),
        ("metrics.json", overwritten(b"[]")),
        ("metrics.json", lambda path: shutil.copy(path.with_name("job.json"), path)),
        ("metrics.json", lambda path: shutil.copy(path.parents[1] / "second" / "metrics.json", path)),
    ],
)
def test_a_sweep_table_has_no_job_whose_record_is_damaged_or_of_another_job(
    name: str, change: Change, tmp_path: Path
) -> None:
    folder, _ = make_job(tmp_path, "first", 0.5), make_job(tmp_path, "second", 0.25)
    assert [job["metrics"] for job in read_jobs(tmp_path)] == [{"loss": 0.5}, {"loss": 0.25}]
    change(folder / name)
    with pytest.raises(ValueError, match=rf"the record of \S+first is damaged .*{name}"):
        read_jobs(tmp_path)


def test_metrics_that_do_not_exist_are_none(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == {}


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': (", b"PK\x03\x04", b"\x80\x04N."]
)
def test_an_array_that_numpy_cannot_read_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ends.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ends\.npy is damaged"):
        read_array(path, np.int64, 1)


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((3, 1), np.int64), np.int64(3)])
def test_an_array_of_another_type_or_shape_is_named(values: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "ends.npy"
    np.save(path, values)
    with pytest.raises(ValueError, match=r"ends\.npy is damaged: it holds no array of int64 with 1 dimensions"):
        read_array(path, np.int64, 1)


@pytest.mark.parametrize("name", ["ends.npy", "folder_of.npy", "index.json"])
def test_a_damaged_index_is_made_again(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.image_index.UNCERTAIN", -(10**15))
    root = make_tree(tmp_path / "tree", train=1, val=1)
    paths = [index.path(place) for index in [image_index(root, tmp_path)] for place in range(len(index))]
    [file] = (tmp_path / "indexes").rglob(name)
    whole = file.read_bytes()
    for content in (b"", whole[:70] + b"{" + whole[71:], whole[:-1]):
        file.write_bytes(content)
        index = image_index(root, tmp_path)
        assert [index.path(place) for place in range(len(index))] == paths
        assert file.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b\x08\x00broken", b"BZh91AY&SY"])
def test_a_damaged_shard_is_named(content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    for name in ("0.tar", "1.tar"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"0\.tar is no whole tar archive"):
        image_shards(tmp_path, size=24, resize=30, held_out_shards=1, on_error="skip")


@pytest.mark.parametrize("count", ["-1", "1.5", "true", "null", '"3"', "1e300", "[" * 100_000])
def test_numbers_of_images_that_are_none_are_refused(count: str, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    for name in ("0.tar", "1.tar"):
        (tmp_path / name).touch()
    (tmp_path / "sizes.json").write_text(f'{{"0.tar": 3, "1.tar": {count}}}')
    with pytest.raises(ValueError, match=r"sizes\.json is not of the form"):
        image_shards(tmp_path, size=24, resize=30, held_out_shards=1)


@pytest.mark.parametrize("content", [b"(" * 5000, b"\x80\x02}q\x00.", b"cos\nsystem\n(S'true'\ntR."])
def test_weights_that_cannot_be_read_are_named_without_advice_to_run_their_code(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"mine\.pth") as refused:
        read_weights(path)
    assert "weights_only" not in str(refused.value)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.mkdir()
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged: remove it"):
        Checkpointing(path, 1, "mine").consumed()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a table"),
        (b"classifier,depth\n\xff,1\n", "cannot be read as a table"),
        (b'classifier,depth\n"vgg,1\n', "cannot be read as a table"),
        (b"classifier,depth\nvgg,1\nvgg,2\n", "has more than one row of vgg"),
        (b"classifier,depth\nother,1\n", "has no row of vgg"),
        (b"classifier,depth\nvgg,\n", "'depth' of vgg is no finite number"),
    ],
)
def test_covariates_that_do_not_fit_are_refused_with_their_key(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"intervals\.covariates.*{message}"):
        of_classifiers(read_covariates(path), ["vgg"])


def test_covariates_of_further_classifiers_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_text("classifier,depth\nother,1\nvgg,2\n")
    assert of_classifiers(read_covariates(path), ["vgg"]).to_dict() == {"depth": {"vgg": 2}}


def test_an_image_too_thin_to_be_shown_is_left_out_of_the_pictures(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "tree", train=1, val=1)
    paths = sorted((root / "val").rglob("*.JPEG"))
    Image.new("RGB", (1, 3000)).save(paths[0])
    Image.new("RGB", (40, 1000)).save(paths[1])
    shown = image_folder(root, size=24, resize=30).showcase(3)
    assert sorted(tuple(image.shape) for image in shown.values()) == [(3, 50, 60), (3, 512, 20)]


@pytest.mark.parametrize("change", [overwritten(b"PK\x03\x04"), lambda path: path.write_bytes(path.read_bytes()[:-30])])
def test_trusted_predictions_that_cannot_be_read_are_named(change: Change, copied: Path) -> None:
    change(copied / "smoke" / "cross_evaluation" / "predictions.npz")
    with pytest.raises(ValueError, match=r"predictions\.npz is damaged"):
        run.run(compose(copied, "task=order", "inputs.trusted=true"))


@pytest.mark.parametrize("name", ["top1", "rows", "label_sets", "nmi_intra", "columns"])
def test_predictions_of_a_wrong_shape_or_type_are_named(name: str, tmp_path: Path) -> None:
    arrays, path = prediction_arrays(drawn_predictions()), tmp_path / "predictions.npz"
    for changed in (arrays[name][:-1], arrays[name][None], arrays[name].astype("c8" if name == "nmi_intra" else "S4")):
        np.savez(path, allow_pickle=False, **arrays | {name: changed})
        with pytest.raises(ValueError, match=r"predictions\.npz is damaged"):
            read_predictions(path)
    np.savez(path, allow_pickle=False, **{key: array for key, array in arrays.items() if key != name})
    if name != "label_sets":  # older files have none
        with pytest.raises(ValueError, match=rf"predictions\.npz is damaged: .*{name}"):
            read_predictions(path)


def test_text_of_characters_that_there_are_not_is_named(tmp_path: Path) -> None:
    names = np.array(["vgg", "ß\U0010ffff"])
    np.savez(tmp_path / "whole.npz", names=names)
    assert read_arrays(tmp_path / "whole.npz")["names"].tolist() == names.tolist()
    broken = np.frombuffer(names.tobytes()[:-4] + b"\xff" * 4, dtype=names.dtype)
    np.savez(tmp_path / "broken.npz", names=broken)
    with pytest.raises(ValueError, match=r"broken\.npz is damaged: names holds no text"):
        read_arrays(tmp_path / "broken.npz")


@pytest.mark.parametrize("rows", [["a", "b", "a"], ["a", "b", "c-seedx"], ["a", "b", "vgg"]])
def test_predictions_whose_rows_do_not_fit_their_sources_are_named(rows: list[str], tmp_path: Path) -> None:
    predictions, path = drawn_predictions(), tmp_path / "predictions.npz"
    changed = [*rows, *predictions.rows[3:]]
    np.savez(path, allow_pickle=False, **prediction_arrays(predictions) | {"rows": np.array(changed)})
    with pytest.raises(ValueError, match=r"predictions\.npz is damaged"):
        read_predictions(path)
