"""Names from a configuration stay names: no study, classifier or job is written outside its folder."""

from pathlib import Path
from typing import Any

import pytest

from study.folder import run_folder
from tests.hostile import refusal, written
from tests.studies import compose_any

WRONG = ("../../x", "/x/y", "", ".", "..", " ", "a/b", "a\\b", "a\0b", "-rf", ".hidden", "a\nb", " a", "a ",
         "a\x1b[2Jb", r"\${oc.env:HOME}", "x" * 151, "é" * 76, "..\\x", "~/x/../y", "a\u202eb")  # fmt: skip
OF_STUDIES, OF_CLASSIFIERS = ("cache", "Cache"), ("pretrained", "second_start", "extra_training", "original", "a-seed7")
CASES = [
    *(("study", {"study": name}) for name in (*WRONG, *OF_STUDIES)),
    *(("classifiers_from", {"classifiers_from": name}) for name in (*WRONG, *OF_STUDIES)),
    *(("classifier.name", {"classifier": {"name": name}}) for name in (*WRONG, *OF_CLASSIFIERS, None)),
    *(
        ("classifiers", {"classifiers": ["vgg_compact", name]})
        for name in ("../x", "timm/../x", "torchvision/a/b", ".x")
    ),
    *(("controls", {"controls": [name]}) for name in ("../x", "timm/..", "pretrained")),
    *(
        (f"{task}.studies", {task: {"studies": [name]}})
        for task in ("sweep_table", "compare_objectives")
        for name in ("/etc", "../*", "", "a/*", "..")
    ),
    *(("studies", {"studies": name}) for name in ("", " ", "a\nb", r"\${oc.env:HOME}", "a\0b")),
    *(("cache", {"cache": name}) for name in ("", "a\nb", r"\${study}")),
]


def title(case: tuple[str, dict[str, Any]]) -> str:
    return repr(case[1])[:60].encode("ascii", "backslashreplace").decode()


@pytest.mark.parametrize("case", CASES, ids=title)
def test_a_name_that_is_no_name_is_refused_before_anything_is_written(
    case: tuple[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, node = case
    (tmp_path / "here" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "deep")
    shared = written(tmp_path / "shared", {"experiment/shared.yaml": {"defaults": ["smoke"], **node}}, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    line = refusal(shared, None if "studies" in node else Path("studies"), "experiment=shared", "task=train_classifier")
    assert line.startswith((f"{key}=", f"{key} "))
    assert "give" in line
    allowed = tmp_path / "here" / "deep" / "studies" / "smoke"
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and allowed not in path.parents] in (
        [], [allowed.parent, allowed])  # fmt: skip


@pytest.mark.parametrize("name", ["pets", "lr_0.001", "a b", "größe", "x=1,y=2", "<b>&'\"", "v1.5-b", "x" * 150])
def test_a_name_can_be_nearly_any_text(name: str, tmp_path: Path) -> None:
    cfg = compose_any(tmp_path)
    cfg.study = name
    from tasks.registry import check_settings

    check_settings(cfg)


@pytest.mark.parametrize("cache", ["study", "", "study/.."])
def test_a_study_is_not_within_the_cache(cache: str, tmp_path: Path) -> None:
    shared = written(
        tmp_path / "shared", {"experiment/shared.yaml": {"defaults": ["smoke"], "study": "study"}}, tmp_path
    )
    line = refusal(
        shared, tmp_path / "studies", "experiment=shared", "task=prepare", f"cache={tmp_path}/studies/{cache}"
    )
    assert line.startswith("study=study would be in cache=")


def test_a_folder_with_quotes_reaches_the_job_as_it_is() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for name in ("a'b", 'a"b', "a\\'b", "a\\", "a b,c", "a=[b]", "a}{"):
        [override] = OverridesParser.create().parse_overrides([run_folder(Path("/x") / name)])
        assert override.value() == f"/x/{name}"
