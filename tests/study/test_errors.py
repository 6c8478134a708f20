"""Bad input: one line that names the cause and the fix, and nothing half-written."""

import shutil
from pathlib import Path

import pytest
import torch
from hydra.errors import ConfigCompositionException, InstantiationException, MissingConfigException

import run
from tests.studies import Compose, Program, compose


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("finetune.epoch=3", r"no key or group 'finetune.epoch' .* Did you mean finetune.epochs"),
        ("clasifier=vgg_compact", r"no key or group 'clasifier' .* Did you mean classifier"),
        (
            "classifier=vgg_compat",
            r"no conf/classifier/vgg_compat.yaml. Did you mean classifier=vgg_compact or vit_compact\?",
        ),
        ("data=photo", r"no conf/data/photo.yaml. Did you mean data=photographs\?"),
        ("qqq=3", r"no key or group 'qqq' .* python run.py --help"),
    ],
)
def test_mistyped_names_are_answered_with_the_nearest(composed: Compose, override: str, message: str) -> None:
    with pytest.raises((ConfigCompositionException, MissingConfigException)) as caught:
        composed(override)
    assert_matches(message, run.EXPLAIN(caught.value))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["classifiers=[vgg_compat]"], r"no conf/classifier/vgg_compat.yaml; did you mean vgg_compact, vit_compact\?"),
        (["classifiers=[]"], r"classifiers=\[\]: give a list, each element text, 1 or more of them"),
        (["task=fine_tune"], r"task=fine_tune: there is no such task. Did you mean finetune\?"),
        (["classifier_settings={vgg:{weights:random}}"], r"classifier_settings: vgg is not one of classifiers="),
        (["classifier_settings={vgg_compact:{wights:random}}"], r"classifier_settings.vgg_compact has no key wights"),
        (["classifiers=[torchvision/resnet5]"], r"torchvision has no classifier 'resnet5'; did you mean resnet50"),
        (["task=prepare"], r"only images of a folder can be prepared: use data=imagenet"),
        (["task=native_accuracy"], r"the native view needs image files: use data=imagenet"),
        (["data=imagenet"], r"data.root is not set"),
        (["data=shards", "data.root=/nowhere"], r"data.root=/nowhere holds no \*.tar"),
        (["task=finetune"], r"pretrained.safetensors does not exist. Make it with: python run.py task=pretrain study="),
        (["task=cross_evaluate"], r"pretrained.safetensors does not exist. Make it with: .*task=pretrain"),
        (["task=order"], r"accuracy.csv does not exist. Make it with: python run.py task=cross_evaluate"),
        (["task=report"], r"accuracy.csv does not exist. Make it with: python run.py task=cross_evaluate"),
        (["task=order", "accuracy=nowhere.csv"], r"nowhere.csv does not exist"),
        (["task=train_classifier", "classifier.classes=9"], r"has 9 classes, the data only 6"),
        (["data=folder"], r"data.root is not set"),
        (["data=folder", "data.root=/nowhere"], r"data.root=/nowhere is not a folder; expected train/<class>"),
        (["data=photographs", "data.crop=80"], r"data.crop=80 must be at least 1 and at most data.tile=64"),
        (["data.size=4"], r"images of 4 pixels are too small for the autoencoder, which needs 8 or more"),
        (["data._target_=os.system"], r"data._target_=os.system is not allowed"),
        (["task=pretrain", "autoencoder.weights=nowhere.pth"], r"weights file nowhere.pth does not exist"),
        (["pretrain.schedule=cosine"], r"pretrain.schedule=cosine: give constant or one_cycle or plateau"),
    ],
)
def test_what_cannot_be_done_is_said(composed: Compose, tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises((ValueError, OSError, InstantiationException)) as caught:
        run.run(composed(*overrides))
    assert_matches(message, run.EXPLAIN(caught.value))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "jobs" not in path.parts]


def test_a_library_without_a_name_is_answered(program: Program) -> None:
    done = program("task=finetune", "classifier=torchvision", check=False)
    assert done.stderr == "error: classifier.name is not set: name one of the library, as classifier.name=resnet18\n"


def test_weights_of_another_network_are_named(finished: Path, composed: Compose) -> None:
    path = finished / "smoke" / "classifiers" / "vgg_compact.safetensors"
    with pytest.raises(ValueError, match=r"vgg_compact.safetensors holds the weights of another network"):
        run.run(composed("task=pretrain", f"autoencoder.weights={path}"))


def test_trainings_that_diverge_leave_nothing(composed: Compose, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"loss of step 2 \(epoch 0, batch 1\) is not finite. .*Lower the learning rate"
    ):
        run.run(composed("task=pretrain", "pretrain.optimizer.lr=1e30", "pretrain.schedule=constant"))
    assert not list((tmp_path / "smoke").glob("autoencoders/*"))


def test_fine_tuning_that_diverges_says_where(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "smoke" / "autoencoders").glob("vgg_compact.*"):
        path.unlink()
    overrides = ("task=finetune", "classifier=vgg_compact", "finetune.optimizer.lr=1e30", "finetune.schedule=constant")
    with pytest.raises(
        ValueError, match=r"loss of step 2 \(epoch 0, batch 1\) is not finite. .*Lower the learning rate"
    ):
        run.run(compose(tmp_path, *overrides))
    assert not list((tmp_path / "smoke" / "autoencoders").glob("*vgg_compact*"))


def test_a_full_disk_leaves_nothing(composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("study.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        run.run(composed("task=train_classifier", "train_classifier.epochs=1"))
    assert not list((tmp_path / "smoke").glob("classifiers/*"))


def test_a_damaged_file_is_noticed(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "smoke" / "autoencoders" / "pretrained.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ValueError, match=r"pretrained.safetensors is damaged or was changed after it was made"):
        run.run(compose(tmp_path))


def test_a_file_without_provenance_is_not_overwritten(composed: Compose, tmp_path: Path) -> None:
    path = tmp_path / "smoke" / "autoencoders" / "pretrained.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"has no pretrained.json beside it: move it away to make it here"):
        run.run(composed("task=pretrain"))
    assert path.read_bytes() == b"mine"


def test_a_retrained_ancestor_is_noticed(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "smoke" / "autoencoders").glob("pretrained.*"):
        path.unlink()
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"was made from another version of: pretrained. Remove it to make it again"):
        run.run(compose(tmp_path, "pretrain.epochs=3"))


def test_the_program_says_one_line_and_fails(program: Program, tmp_path: Path) -> None:
    done = program("task=report", f"studies={tmp_path}", check=False)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "task=cross_evaluate" in line


def assert_matches(pattern: str, text: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)
    assert "\n" not in text
