"""Short forms of the command line: what they stand for, with any path, in sweeps and in ranks."""

import os
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig
from PIL import Image

import run
from study.configuration.names import LENGTH, check_study
from study.configuration.shortcuts import expanded, study_name
from study.data import make_data
from tests.studies import Program, compose_any

HARD = "my photos, [2026] = it's best\\"
NAMES = [
    "pets", HARD, "it's", 'a "quote"', "a'b\"c", "back\\slash\\", "a=b", "a,b", "[x]", "{a:1}", "(x)", "2026", "null",
    "true", "1e5", "~home", "#1", "a: b", "$HOME", "100%", "é ü", "照片", " lead", "trail ", "-m", "--cfg", "++x",
    "cache", "x" * 200, "a;b|c&d", "%(a)s", "...", "@eaDir",
]  # fmt: skip


def composed(studies: Path, *arguments: str) -> DictConfig:
    return compose_any(studies, *expanded(arguments))


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name_is_the_data_and_names_the_study(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    parsed = OverridesParser.create().parse_overrides(expanded([f"images={folder}", "data.size=96"]))
    values = {one.key_or_group: one.value() for one in parsed}
    assert not any(one.is_sweep_override() for one in parsed)
    assert values["data"] == "images"
    assert str(values["data.root"]) == str(folder)
    assert values["data.size"] == 96
    assert check_study(values["study"], "study")


def test_a_folder_is_composed_beside_other_keys(tmp_path: Path) -> None:
    folder = tmp_path / HARD
    folder.mkdir()
    cfg = composed(tmp_path, f"images={folder}", "data.size=96", "classifiers=[vgg_compact]")
    assert cfg.data.root == str(folder)
    assert cfg.data._target_ == "datamodules.AnyImages"
    assert cfg.data.size == 96
    assert cfg.images is None
    assert cfg.study == "my photos_ _2026_ _ it_s best_"
    assert composed(tmp_path, f"images={folder}", "study=mine").study == "mine"


def test_studies_are_named_as_their_folders() -> None:
    named = {"pets": "pets", "my photos, [2026] = best": "my photos_ _2026_ _ best", "cache": "cache_images", "..": "",
             "照片": "照片", "-m": "m", ". . x ": "x", "Cache": "Cache_images"}  # fmt: skip
    for folder, study in named.items():
        assert study_name(Path("/data") / folder) == (study or "images")
    assert study_name(Path("/")) == "images"
    long = study_name(Path("/data") / ("é" * 200))
    assert len(long.encode()) <= LENGTH
    assert set(long) == {"é"}


def test_relative_paths_and_the_home_folder_are_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / "pets").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for typed in ("pets", "./pets", "~/pets", "'pets'", '"~/pets"', "../home/pets"):
        root = next(one for one in expanded([f"images={typed}"]) if one.startswith("data.root="))
        assert Path(root.partition("=")[2].strip("'")).resolve() == (tmp_path / "home" / "pets").resolve()
        assert "study='pets'" in expanded([f"images={typed}"])


def test_the_task_that_has_images_of_its_own_keeps_them(tmp_path: Path) -> None:
    for task in ("task=layer_features", "task='layer_features'"):
        arguments = [task, f"images={tmp_path}", "layer=list"]
        assert expanded(arguments) == arguments
    for arguments in (["images=null"], ["images="], ["task=finetune", "seed=1", "-m"]):
        assert expanded(arguments) == arguments


def test_the_last_folder_counts_as_for_every_key(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    cfg = composed(tmp_path, f"images={tmp_path / 'a'}", "seed=1", f"++images={tmp_path / 'b'}")
    assert (cfg.data.root, cfg.study, cfg.images, cfg.seed) == (str(tmp_path / "b"), "b", None, 1)


@pytest.mark.parametrize("other", ["data=folder", "data.root=/x", "++data.root=/x", "data='images'", "+data=cifar10"])
def test_two_sources_of_images_are_refused(other: str, tmp_path: Path) -> None:
    key = other.lstrip("+").partition("=")[0]
    for arguments in ([f"images={tmp_path}", other], [other, f"images={tmp_path}"]):
        with pytest.raises(ValueError, match=f"stands for data=images data.root=.*, and {key} is given, too: leave"):
            expanded(arguments)


def test_wrong_folders_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "nowhere", f"{tmp_path},{tmp_path}"):
        with pytest.raises(ValueError, match=f"images={path} is not a folder: name one that holds images"):
            expanded([f"images={path}"])
    (tmp_path / "a\nb").mkdir()
    with pytest.raises(ValueError, match="has characters that paths here cannot have"):
        expanded([f"images={tmp_path}/a\nb"])
    with pytest.raises(ValueError, match=r"is not known yet: give study=<name>"):
        expanded(["images=${oc.env:PHOTOS}"])
    with pytest.raises(ValueError, match="task=ask is a study of its own"):
        expanded(["-m", "task=ask,order", "classifier=vgg_compact"])


def test_a_folder_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", str(tmp_path))
    assert composed(tmp_path, "images=${oc.env:PHOTOS}", "study=mine").data.root == str(tmp_path)


def test_every_job_of_a_sweep_gets_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / HARD
    folder.mkdir()
    arguments = expanded(["-m", f"images={folder}", "seed=0,1", "data.size=64,96", f"studies={tmp_path}"])[1:]
    parsed = OverridesParser.create().parse_overrides(arguments)
    assert [one.key_or_group for one in parsed if one.is_sweep_override()] == ["seed", "data.size"]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(run.CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        whole = loader.load_configuration("config", arguments, RunMode.MULTIRUN)
        fixed = [text for text, one in zip(arguments, parsed, strict=True) if not one.is_sweep_override()]
        job = loader.load_sweep_config(whole, [*fixed, "seed=1", "data.size=96"])
    assert (job.data.root, job.data.size, job.seed) == (str(folder), 96, 1)


def test_twelve_photographs_are_the_images_of_a_study(tmp_path: Path) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (70, 50), (number * 20, 30, 60)).save(folder / f"{number}.jpg")
    cfg = composed(tmp_path, f"images={folder}", "experiment=smoke", "data.size=48")
    data = make_data(cfg)
    assert cfg.study == "phone"
    assert not data.labelled
    assert data.smallest_side == 48


@pytest.mark.slow
def test_two_ranks_of_a_job_of_a_sweep_use_the_folder(tmp_path: Path, program: Program) -> None:
    folder = tmp_path / HARD
    folder.mkdir()
    for number in range(12):
        Image.effect_noise((70 + number, 50), 60).convert("RGB").save(folder / f"{number}.png")
    relative = os.path.relpath(folder, Path(run.__file__).parent)
    done = program("-m", "task=pretrain", f"images={relative}", "experiment=smoke", "data.size=48", "seed=3",
                   "data.crops_per_epoch=16", "pretrain.epochs=1", "trainer.devices=2", "trainer.strategy=ddp",
                   f"studies={tmp_path / 'studies'}")  # fmt: skip
    [weights] = (tmp_path / "studies").rglob("pretrained.safetensors")
    assert weights.parent.parent.name == "my photos_ _2026_ _ it_s best_"
    assert done.stdout.count("of these images are tested on") == 1
