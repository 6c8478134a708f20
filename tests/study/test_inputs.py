"""Every task verifies the files it takes, by their digests, settings and inputs; no key is read by nobody."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import run
from datamodules.digests import read_checked, with_digest
from study.artifact import Artifact
from study.inputs import TRUSTED, check_file
from tests.studies import compose

FIRST, SECOND = "vgg_compact", "resnet_compact"
Change = Callable[[Path], object]


def add_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def swap(one: Path, other: Path) -> None:
    for suffix in (".safetensors", ".json"):
        first, second = one.with_suffix(suffix), other.with_suffix(suffix)
        first.rename(kept := first.with_suffix(".kept"))
        second.rename(first)
        kept.rename(second)


def autoencoder(root: Path, name: str) -> Path:
    return root / "autoencoders" / f"{name}.safetensors"


def stray(root: Path) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copy(
            autoencoder(root, FIRST).with_suffix(suffix), autoencoder(root, f"{FIRST}-seed7").with_suffix(suffix)
        )


def forget(path: Path) -> None:
    path.with_suffix(".json").unlink()


def rewrite_predictions(root: Path) -> None:
    path = root / "cross_evaluation" / "predictions.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, allow_pickle=False, **arrays | {"top1": ~arrays["top1"]})


CHANGES: dict[str, tuple[str, Change, str]] = {
    "A_i swapped": (
        "cross_evaluate",
        lambda root: swap(autoencoder(root, FIRST), autoencoder(root, SECOND)),
        "is damaged or was changed",
    ),
    "A_i changed": ("cross_evaluate", lambda root: add_one_bit(autoencoder(root, FIRST)), "is damaged or was changed"),
    "A_i without a record": ("cross_evaluate", lambda root: forget(autoencoder(root, FIRST)), "has no record of how"),
    "a copy as another seed": ("cross_evaluate", stray, "has no record of how it was made"),
    "A_S changed": ("finetune", lambda root: add_one_bit(autoencoder(root, "pretrained")), "is damaged or was changed"),
    "A_S of another classifier's A_i": (
        "cross_evaluate",
        lambda root: swap(autoencoder(root, "pretrained"), autoencoder(root, SECOND)),
        "is damaged or was changed",
    ),
    "classifier changed": (
        "finetune",
        lambda root: add_one_bit(root / "classifiers" / f"{FIRST}.safetensors"),
        "is damaged or was changed",
    ),
    "accuracy edited": (
        "order",
        lambda root: add_one_bit(root / "cross_evaluation" / "accuracy.csv"),
        "accuracy.csv is damaged or was changed",
    ),
    "predictions altered": ("intervals", rewrite_predictions, "predictions.npz is damaged or was changed"),
    "predictions of the statistics altered": ("signal_statistics", rewrite_predictions, "predictions.npz is damaged"),
    "order edited": (
        "report",
        lambda root: add_one_bit(root / "order" / "order.json"),
        "order.json is damaged or was changed",
    ),
    "record edited": (
        "cross_evaluate",
        lambda root: autoencoder(root, FIRST).with_suffix(".json").write_text(
            autoencoder(root, FIRST).with_suffix(".json").read_text().replace('"seed": 0', '"seed": 1')
        ),
        "has no record of how it was made: .* is damaged or was changed after it was written",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_task_refuses_files_that_are_not_what_their_record_says(change: str, copied: Path) -> None:
    task, alter, message = CHANGES[change]
    alter(copied / "smoke")
    before = {path: path.stat().st_mtime_ns for path in (copied / "smoke").rglob("*.*") if "jobs" not in path.parts}
    with pytest.raises(ValueError, match=message):
        run.run(compose(copied, f"task={task}", f"classifier={FIRST}"))
    after = {path: path.stat().st_mtime_ns for path in (copied / "smoke").rglob("*.*") if "jobs" not in path.parts}
    assert after == before


def test_the_error_says_how_to_make_it_again_and_how_to_use_it_as_it_is(copied: Path) -> None:
    path = copied / "smoke" / "cross_evaluation" / "accuracy.csv"
    path.write_text(path.read_text().replace(",0.", ",0.0", 1))
    with pytest.raises(ValueError, match=r"python run.py task=cross_evaluate study=smoke.* add inputs.trusted=true"):
        run.run(compose(copied, "task=order"))
    run.run(compose(copied, "task=order", "inputs.trusted=true"))
    record = read_checked(copied / "smoke" / "order" / "provenance.json")
    assert record["inputs"]["accuracy"].endswith(TRUSTED)
    with pytest.raises(ValueError, match=r"accuracy.csv is damaged or was changed"):
        run.run(compose(copied, "task=order"))


def test_a_study_with_other_images_or_another_architecture_is_not_mixed(copied: Path) -> None:
    for override, key in (
        ("data.size=48", "data.size was"),
        ("autoencoder=segnet", "autoencoder.network._target_ was"),
        ("data.images=40", "data.images was"),
    ):
        for task in ("finetune", "cross_evaluate"):
            with pytest.raises(ValueError, match=re.escape(key)):
                run.run(compose(copied, f"task={task}", "classifier=vgg_compact", override))


def test_a_document_with_a_digest_notices_every_changed_byte(tmp_path: Path) -> None:
    document = {"objective": 0.25, "settings": {"seed": 0, "names": ["a", "ß"]}, "none": None}
    text = json.dumps(with_digest(document))
    path = tmp_path / "record.json"
    path.write_text(text)
    assert read_checked(path) == document
    for position in range(len(text)):
        for bit in range(7):
            changed = text[:position] + chr(ord(text[position]) ^ 1 << bit) + text[position + 1 :]
            path.write_text(changed)
            try:
                read = read_checked(path)
            except ValueError:
                continue
            assert read == document  # white space


def test_settings_of_the_trainer_that_decide_are_in_the_identity(copied: Path) -> None:
    for override in ("trainer.accumulate_grad_batches=2", "+trainer.limit_train_batches=1"):
        key = override.lstrip("+").partition("=")[0]
        with pytest.raises(ValueError, match=f"was made with other settings: {key} was absent, now"):
            run.run(compose(copied, "task=pretrain", override))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+trainer.max_steps=1", r"there is no key trainer.max_steps; did you mean"),
        ("+trainer.gradient_clip_val=1", r"there is no key trainer.gradient_clip_val; did you mean"),
        ("+trainer.fast_dev_run=true", r"there is no key trainer.fast_dev_run; did you mean"),
        ("+finetune.typo=3", r"there is no key finetune.typo; did you mean"),
        ("+finetune.nois=3", r"there is no key finetune.nois; did you mean noise"),
        ("+pretrian.epochs=3", r"there is no key pretrian; did you mean pretrain"),
        ("+classifier.wieghts=a", r"there is no key classifier.wieghts; did you mean weights"),
        ("+autoencoder.weight=a", r"there is no key autoencoder.weight; did you mean weights"),
        ("+concepts.penalties.l3=1", r"there is no key concepts.penalties.l3; did you mean l1"),
    ],
)
def test_a_key_that_nothing_reads_is_refused(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run.run(compose(tmp_path, override))
    assert not list(tmp_path.iterdir())


def test_an_artifact_with_folders_is_verified_file_by_file(tmp_path: Path) -> None:
    files = [tmp_path / "table.csv", tmp_path / "summary" / "table.csv"]
    with Artifact(files, tmp_path / "table.json", {}, {}, precious=False).making(0.0) as temporary:
        for number, path in enumerate(temporary.values()):
            path.write_text(f"a\n{number}\n")
    assert Artifact(files, tmp_path / "table.json", {}, {}, precious=False).exists()
    for path in files:
        check_file(path)
    files[0].write_bytes(files[1].read_bytes())
    check_file(files[1])
    with pytest.raises(ValueError, match="is damaged or was changed"):
        check_file(files[0])
