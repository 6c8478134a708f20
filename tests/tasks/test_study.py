"""The whole study: every recipe runs, nothing is made twice, and the same seed gives the same bits."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import open_dict

import run
from metrics.nmi import normalized_mutual_information
from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet, CompactVGG
from networks.segnet import CompactSegNet
from networks.weights import load_weights
from study.data import make_data
from tests.studies import REPOSITORY, Compose, Program, compose

CSVS = ("accuracy.csv", "accuracy_top5.csv", "nmi.csv")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def csvs(studies: Path, study: str = "smoke") -> list[bytes]:
    return [(studies / study / "cross_evaluation" / name).read_bytes() for name in CSVS]


@pytest.mark.parametrize("experiment", sorted(path.stem for path in run.CONF.glob("experiment/*.yaml")))
def test_experiment_composes_and_names_its_command(experiment: str, tmp_path: Path) -> None:
    cfg = compose(tmp_path, f"experiment={experiment}")
    assert cfg.task == "study"
    assert f"experiment={experiment}" in (run.CONF / "experiment" / f"{experiment}.yaml").read_text()


@pytest.mark.parametrize("path", sorted(run.CONF.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_config_files_begin_with_the_command_that_uses_them(path: Path) -> None:
    first = next(line for line in path.read_text().splitlines() if "@package" not in line)
    assert first.startswith("# python run.py")


def test_study_makes_everything_with_provenance(finished: Path) -> None:
    made = contents(finished / "smoke")
    for name in ("classifiers/vgg_compact", "autoencoders/pretrained", "autoencoders/resnet_compact"):
        assert f"{name}.safetensors" in made
        record = json.loads(made[f"{name}.json"])
        assert record["settings"]["seed"] == 0
        assert record["versions"]["torch"]
        assert record["seconds"] > 0
        assert np.isfinite(record["objective"])
    assert not [name for name in made if "partial" in name]


def test_predictions_equal_direct_calls(finished: Path) -> None:
    folder = finished / "smoke"
    data = make_data(compose(finished))
    predictions = np.load(folder / "cross_evaluation" / "predictions.npz")
    networks = {"vgg_compact": CompactVGG(6), "resnet_compact": CompactResNet(6)}
    for row, column in ((3, 0), (2, 1), (1, 1)):
        autoencoder, name = CompactSegNet().eval(), str(predictions["columns"][column])
        load_weights(autoencoder, folder / "autoencoders" / f"{predictions['rows'][row]}.safetensors")
        classifier = Classifier(networks[name]).eval()
        load_weights(classifier, folder / "classifiers" / f"{name}.safetensors")
        for index in (0, 7, 23):
            image, label, _ = data.split("test")[index]
            pixels = image[None].float() / 255
            reconstruction = autoencoder(pixels)
            logits = classifier(reconstruction)[0]
            assert predictions["predicted"][index, row, column] == int(logits.argmax())
            assert predictions["top5"][index, row, column] == (label in logits.topk(5).indices)
            nmi = normalized_mutual_information(pixels, reconstruction.detach().clamp(0, 1), bins=16)
            assert predictions["nmi_intra"][index, row] == pytest.approx(float(nmi), abs=1e-3)
    table = pd.read_csv(folder / "cross_evaluation" / "accuracy.csv", index_col=0)
    assert np.array_equal(table.to_numpy(), predictions["top1"].mean(axis=0))


def test_a_second_run_skips_everything(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "smoke").rglob("*.*") if "jobs" not in path.parts}
    run.run(compose(finished))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "val/" not in capsys.readouterr().out


def test_the_same_seed_gives_the_same_bits(finished: Path, tmp_path: Path) -> None:
    run.run(compose(tmp_path))
    first, second = contents(finished / "smoke"), contents(tmp_path / "smoke")
    assert first.keys() == second.keys()
    results = (".csv", ".safetensors", ".png", ".html", "order.json")
    compared = [name for name in first if name.endswith(results) and not name.startswith("jobs/")]  # logs have speeds
    assert len(compared) > 15
    assert not [name for name in compared if first[name] != second[name]]


def test_another_seed_in_the_same_folder_is_refused(finished: Path) -> None:
    before = contents(finished / "smoke")
    with pytest.raises(ValueError, match=r"vgg_compact.*seed was 0, now 1.*another study=<name>, or remove the file"):
        run.run(compose(finished, "seed=1"))
    assert contents(finished / "smoke") == before


def test_new_settings_of_the_evaluation_are_refused_and_named(finished: Path) -> None:
    with pytest.raises(ValueError, match=r"accuracy.csv was made with other settings: cross_evaluate.nmi_bins was 16"):
        run.run(compose(finished, "cross_evaluate.nmi_bins=8"))


def test_a_classifier_more_remakes_only_what_depends_on_it(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    kept = contents(tmp_path / "smoke" / "autoencoders")
    run.run(compose(tmp_path, "classifiers=[vgg_compact,resnet_compact,alexnet_compact]"))
    assert kept.items() <= contents(tmp_path / "smoke" / "autoencoders").items()
    table = pd.read_csv(tmp_path / "smoke" / "cross_evaluation" / "accuracy.csv", index_col=0)
    assert list(table.columns) == ["vgg_compact", "resnet_compact", "alexnet_compact"]


def test_a_sweep_gives_the_weights_of_single_runs(finished: Path, tmp_path: Path, program: Program) -> None:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    names = ("vgg_compact", "resnet_compact")
    for name in names:
        (tmp_path / "smoke" / "autoencoders" / f"{name}.safetensors").unlink()
    program("-m", "experiment=smoke", f"studies={tmp_path}", "task=finetune", f"classifier={','.join(names)}")
    for name in names:
        path = Path("smoke") / "autoencoders" / f"{name}.safetensors"
        assert (tmp_path / path).read_bytes() == (finished / path).read_bytes()
        assert (tmp_path / "smoke" / "jobs" / f"finetune-{name}" / "metrics.json").exists()


@pytest.mark.slow
def test_two_and_three_ranks_evaluate_as_one(tmp_path: Path, program: Program) -> None:
    smoke = (
        "experiment=smoke",
        f"studies={tmp_path}",
        "data.images=23",
        "pretrain.epochs=1",
        "train_classifier.epochs=1",
    )
    program(*smoke)
    single = csvs(tmp_path)
    for ranks in (2, 3):
        shutil.rmtree(tmp_path / "smoke" / "cross_evaluation")
        program(*smoke, "task=cross_evaluate", "trainer.strategy=ddp", f"trainer.devices={ranks}")
        assert csvs(tmp_path) == single


@pytest.mark.slow
def test_a_study_that_was_killed_completes_with_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "run.py"), "experiment=smoke", f"studies={tmp_path}"]
    moments = random.Random(7)  # noqa: S311
    for attempt in range(4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(3 + moments.uniform(0, 5))
        process.send_signal(signal.SIGINT if attempt == 1 else signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert csvs(tmp_path) == csvs(finished)
    assert not list(tmp_path.rglob("*.partial*"))


def test_the_page_holds_together(finished: Path) -> None:
    report = finished / "smoke" / "report"
    page = (report / "index.html").read_text(encoding="utf-8")
    targets = re.findall(r'(?:href|src)="([^"#][^"]*)"', page)
    assert len(targets) > 20
    assert not [target for target in targets if "://" in target or not (report / target).is_file()]
    assert re.findall(r'href="#([^"]+)"', page) == re.findall(r'<section id="([^"]+)"', page)
    for figure in report.glob("figures/*.png"):
        assert figure.stat().st_size > 5_000
        assert figure.with_suffix(".pdf").stat().st_size > 2_000


def test_studies_can_share_their_classifiers(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    shared = ("task=train_classifier", "classifier=vgg_compact", "classifiers_from=smoke")
    run.run(compose(tmp_path, "study=other", *shared))
    assert "there already" in capsys.readouterr().out
    assert not (tmp_path / "other" / "classifiers").exists()
    with pytest.raises(FileNotFoundError, match=r"pretrained.safetensors does not exist.*task=pretrain study=other"):
        run.run(compose(tmp_path, "study=other", *shared, "task=finetune"))


def test_siblings_are_trained_alike_and_share_the_loss(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "smoke" / "autoencoders").glob("*_compact.*"):
        path.unlink()
    run.run(compose(tmp_path, "objective=ensemble", "finetune.siblings=2", "classifiers=[vgg_compact]",
                    "train_classifier.epochs=15"))  # fmt: skip
    study = tmp_path / "smoke"
    trained = {path.stem for path in (study / "classifiers").glob("vgg_compact*.safetensors")}
    assert trained == {"vgg_compact", "vgg_compact-sibling1", "vgg_compact-sibling2"}
    contents = {(study / "classifiers" / f"{name}.safetensors").read_bytes() for name in trained}
    assert len(contents) == 3
    record = json.loads((study / "autoencoders" / "vgg_compact.json").read_text())
    assert "classifier vgg_compact-sibling2" in record["inputs"]
    table = pd.read_csv(study / "cross_evaluation" / "accuracy.csv", index_col=0)
    assert list(table.columns) == ["vgg_compact"]
    own = (finished / "smoke" / "autoencoders" / "vgg_compact.safetensors").read_bytes()
    assert (study / "autoencoders" / "vgg_compact.safetensors").read_bytes() != own


def test_siblings_of_given_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"finetune.siblings=1: classifier vgg_compact is not trained here"):
        run.run(compose(tmp_path, "objective=ensemble", "classifiers=[resnet_compact,vgg_compact]",
                        "classifier=vgg_compact", "classifier.weights=random"))  # fmt: skip
    assert not (tmp_path / "smoke" / "classifiers").exists()  # before any work


def test_planted_cues_are_a_study_for_each_objective_with_the_same_classifiers(tmp_path: Path) -> None:
    names = sorted(path.stem for path in run.CONF.glob("objective/*.yaml"))
    studies = [compose(tmp_path, "experiment=planted_cues", f"objective={name}") for name in names]
    assert [cfg.study for cfg in studies] == [f"planted_cues_{name}" for name in names]
    assert {cfg.classifiers_from for cfg in studies} == {"planted_cues"}
    assert [cfg.objective for cfg in studies] == names
    published = studies[names.index("published")]
    assert "switches" not in published.autoencoder.network  # the published method is the default, with nothing added
    options = ("anchor", "energy", "rate", "tolerance", "noise", "shift", "siblings")
    assert not [name for name in options if published.finetune[name]]


def test_order_of_a_table_somebody_has(composed: Compose, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(",a,b,c\na,0.9,0.9,0.9\nb,0.45,0.9,0.9\nc,0.09,0.45,0.9\n")
    run.run(composed("task=order", f"accuracy={table}"))
    document = json.loads((tmp_path / "smoke" / "order" / "order.json").read_text())
    assert document["rrc"]["b"] == {"a": 0.5, "b": 1.0, "c": 1.0}
    last = document["intervals"][-1]
    assert (last["to"], last["chain"], last["order"]) == (1.0, True, [["a"], ["b"], ["c"]])
    assert last["concepts"] == 3


def test_weights_of_ones_own_stand_in_for_training(finished: Path, composed: Compose, tmp_path: Path) -> None:
    weights = finished / "smoke"
    cfg = composed(
        f"autoencoder.weights={weights / 'autoencoders' / 'pretrained.safetensors'}",
        f"classifier.weights={weights / 'classifiers' / 'vgg_compact.safetensors'}",
        "classifier=vgg_compact",
        "classifiers=[vgg_compact]",
    )
    with open_dict(cfg):
        run.run(cfg)
    study = tmp_path / "smoke"
    assert not (study / "classifiers").exists()
    assert (study / "autoencoders" / "pretrained.safetensors").read_bytes() == (
        weights / "autoencoders" / "pretrained.safetensors"
    ).read_bytes()
    assert (study / "report" / "index.html").exists()
