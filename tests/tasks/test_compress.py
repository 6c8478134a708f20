"""Compressed classifiers in a study: made from their parent, compared with it, and errors that say what to do."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import run
import tasks.compress
from networks.compression import sparsity
from networks.weights import read_weights
from study import classifiers
from study.data import make_data
from tests.studies import Compose, compose

FOUR = "classifiers=[vgg_compact,resnet_compact,vgg_pruned,vgg_int8]"
QUICK = ("task=compress", "compress.pruned.epochs=2", "compress.distilled.epochs=1", "compress.batch_size=8")


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished / "smoke" / "classifiers", tmp_path / "smoke" / "classifiers")
    return tmp_path


def test_pruned_from_its_parent_with_the_share_kept_in_training(study: Path) -> None:
    cfg = compose(study, *QUICK, "classifier=vgg_pruned", FOUR)
    run.run(cfg)
    data = make_data(cfg)
    configs = classifiers.study_classifiers(cfg)
    child = classifiers.load_classifier(cfg, configs["vgg_pruned"], data)
    weights = sum(m.weight.numel() for m in child.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear))
    assert sparsity(child) == pytest.approx(round(0.8 * weights) / weights, abs=1e-12)
    record = json.loads((study / "smoke" / "classifiers" / "vgg_pruned.json").read_text())
    assert record["settings"]["classifier"]["compressed"] == {"parent": "vgg_compact", "how": "pruned", "amount": 0.8}
    assert "distilled" not in record["settings"]["compress"]
    assert record["inputs"]["classifier vgg_compact"] == classifiers.weights_fingerprint(cfg, configs["vgg_compact"])
    before = (study / "smoke" / "classifiers" / "vgg_pruned.safetensors").stat().st_mtime_ns
    assert run.run(cfg) == record["objective"]
    assert (study / "smoke" / "classifiers" / "vgg_pruned.safetensors").stat().st_mtime_ns == before


def test_without_epochs_the_remaining_weights_are_the_parents(study: Path) -> None:
    run.run(compose(study, *QUICK, "classifier=vgg_pruned", "compress.pruned.epochs=0"))
    folder = study / "smoke" / "classifiers"
    child, parent = (read_weights(folder / f"{name}.safetensors") for name in ("vgg_pruned", "vgg_compact"))
    for name, weight in child.items():
        assert torch.equal(weight[weight != 0], parent[name][weight != 0])


def test_int8_keeps_the_parents_weights_and_computes_with_rounded_ones(study: Path) -> None:
    cfg = compose(study, *QUICK, "classifier=vgg_int8", FOUR)
    run.run(cfg)
    folder, data, configs = study / "smoke" / "classifiers", make_data(cfg), classifiers.study_classifiers(cfg)
    child, parent = (read_weights(folder / f"{name}.safetensors") for name in ("vgg_int8", "vgg_compact"))
    assert all(torch.equal(child[key], parent[key]) for key in parent)
    rounded, plain = (classifiers.load_classifier(cfg, configs[name], data) for name in ("vgg_int8", "vgg_compact"))
    images = torch.rand(4, 3, 32, 32)
    difference = (rounded(images) - plain(images)).abs().max() / plain(images).abs().max()
    assert 0 < difference < 0.1
    for weight in (m.weight for m in rounded.modules() if isinstance(m, torch.nn.Linear)):
        assert len(weight.unique()) <= 256


def test_a_student_has_its_own_size(study: Path) -> None:
    run.run(compose(study, *QUICK, "classifier=vgg_distilled"))
    folder = study / "smoke" / "classifiers"
    sizes = [sum(w.numel() for w in read_weights(folder / f"{n}.safetensors").values())
             for n in ("vgg_distilled", "vgg_compact")]  # fmt: skip
    assert sizes[0] < sizes[1] / 4


def test_a_parent_that_was_made_anew_is_noticed(study: Path) -> None:
    run.run(compose(study, *QUICK, "classifier=vgg_int8"))
    folder = study / "smoke" / "classifiers"
    for suffix in (".safetensors", ".json"):
        (folder / "vgg_compact").with_suffix(suffix).unlink()
    run.run(compose(study, "task=train_classifier", "classifier=vgg_compact", "train_classifier.epochs=1"))
    with pytest.raises(ValueError, match=r"made from another version of: classifier.*Remove it"):
        run.run(compose(study, *QUICK, "classifier=vgg_int8"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["classifiers=[resnet_compact]"], r"compressed from vgg_compact, which is not one of classifiers=.*add it"),
        (["classifier=vgg_compact"], "vgg_compact has no compressed block: choose one"),
        (["classifier.compressed.how=shrunk"], "compressed.how=shrunk; use pruned, int8, distilled"),
        (["~classifier.compressed.amount"], "compressed has how, parent; a pruned one takes amount, how, parent"),
        (["classifier.compressed.amount=80"], "amount=80 is not in"),
        (["classifier.weights=random"], r"has weights \(random\): nothing is to be made"),
        (["classifier.compressed.parent=resnet_compact"], "another network than resnet_compact.*compressed.how=dist"),
        (["classifier.classes=3"], "has classes=3, its parent vgg_compact None: give both the same"),
        (["classifier.compressed.parent=vgg_int8", FOUR], "vgg_int8, which is compressed itself"),
    ],
)
def test_errors_name_the_cause_and_the_fix(study: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run.run(compose(study, *QUICK, "classifier=vgg_pruned", *overrides))


def test_a_compressed_one_without_its_parent_is_found_by_every_task(composed: Compose) -> None:
    with pytest.raises(ValueError, match=r"vgg_pruned is compressed from vgg_compact.*add it there"):
        run.run(composed("classifiers=[resnet_compact,vgg_pruned]"))


def test_missing_weights_name_the_task_that_makes_them(study: Path) -> None:
    cfg = compose(study, "classifier=vgg_pruned", FOUR)
    with pytest.raises(FileNotFoundError, match="task=compress classifier=vgg_pruned"):
        classifiers.classifier_weights(cfg, cfg.classifier)
    with pytest.raises(ValueError, match="vgg_pruned is made from another: use task=compress"):
        run.run(compose(study, "task=train_classifier", "classifier=vgg_pruned", FOUR))


def test_torchvisions_networks_can_be_compressed(study: Path) -> None:
    cfg = compose(study, "task=compress", "classifiers=[resnet50,resnet50_pruned]")
    configs = classifiers.study_classifiers(cfg)
    assert classifiers.training_task(configs["resnet50_pruned"]) == "compress"
    own, parent = (classifiers.preprocessing(configs[name]) for name in ("resnet50_pruned", "resnet50"))
    assert own == parent
    with torch.device("meta"):
        networks = [
            tasks.compress.instantiate(config.network, "network", "classifier", classes=9)
            for config in configs.values()
        ]
    assert networks[0].state_dict().keys() == networks[1].state_dict().keys()


def test_disagreement_of_a_study(finished: Path, tmp_path: Path) -> None:
    """Its cross evaluation renamed: ResNet stands for a compressed VGG."""
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    folder = tmp_path / "smoke" / "cross_evaluation"
    with np.load(folder / "predictions.npz") as file:
        arrays = {name: file[name] for name in file.files}
    renamed = {
        name: np.char.replace(arrays[name], "resnet_compact", "vgg_pruned") for name in ("rows", "sources", "columns")
    }
    np.savez(folder / "predictions.npz", **arrays | renamed)
    renamed_study = ("task=disagreement", "classifiers=[vgg_compact,vgg_pruned]", "inputs.trusted=true")
    cfg = compose(tmp_path, *renamed_study)
    share = run.run(cfg)
    table = pd.read_csv(tmp_path / "smoke" / "disagreement" / "disagreement.csv")
    different = arrays["predicted"][:, 0, 0] != arrays["predicted"][:, 0, 1]
    assert table.loc[0, "disagree"] == different.sum()
    assert share == different.mean()
    data = make_data(cfg)
    with np.load(tmp_path / "smoke" / "disagreement" / "exemplars.npz") as pictures:
        assert set(pictures["index"]) <= set(arrays["index"][different])
        assert len(pictures["images"]) == min(24, different.sum())
        for image, index in zip(pictures["images"], pictures["index"], strict=True):
            assert np.array_equal(image, data.split("test")[int(index)][0].numpy())
    with pytest.raises(ValueError, match="about other images"):
        run.run(compose(tmp_path, *renamed_study, "data.images=20"))


def test_disagreement_needs_compressed_classifiers(composed: Compose) -> None:
    with pytest.raises(ValueError, match="compressed from another: add one, as vgg_pruned"):
        run.run(composed("task=disagreement"))
