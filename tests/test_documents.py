"""Documents and the first lines of configuration files: every command can be composed, every link leads somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from study.configuration.shortcuts import expanded
from study.folder import CONF
from tasks.registry import TASKS, check_settings
from tests.studies import REPOSITORY, compose_any

DOCUMENTS = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "benchmarks").glob("*.md")]
OTHERS = ("wide_vgg", "brightness", "mine")  # what the examples of CONTRIBUTING.md and docs/cluster.md add
WIDE = 120


def code_of(text: str) -> Iterator[str]:
    """Commands of a document: indented ones, continued lines joined, and those within a sentence."""
    joined = text.replace("\\\n", " ")
    yield from re.findall(r"^ {4,}(python run\.py.*)$", joined, re.MULTILINE)
    yield from (re.sub(r"\s+", " ", code) for code in re.findall(r"`(python run\.py[^`]*)`", joined))


def commands() -> list[str]:
    """Every command of documents and configuration files, each once."""
    lines = [line for path in DOCUMENTS for line in code_of(path.read_text(encoding="utf-8"))]
    for path in sorted(CONF.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        lines += [match.split("     ")[0] for match in re.findall(r"^# (python run\.py.*)$", text, re.MULTILINE)[:1]]
    return sorted(set(lines))


def overrides_of(command: str) -> list[str] | None:
    """The settings that a command gives; of a sweep, those of its first job. ``None``: it composes nothing."""
    words = shlex.split(command, comments=True)[2:]
    if "..." in command or "$" in command or "<" in command or any(name in command for name in OTHERS):
        return None  # an excerpt, a loop, or a pattern
    if {"--help", "--hydra-help", "-sc"} & set(words):
        return None
    settings = [word for word in words if word not in ("-m", "--cfg", "job")]
    if "-m" not in words:
        return settings
    parsed = OverridesParser.create().parse_overrides(settings)
    return [
        f"{one.key_or_group}={next(one.sweep_string_iterator())}" if one.is_sweep_override() else settings[number]
        for number, one in enumerate(parsed)
    ]


@pytest.mark.slow
def test_every_command_composes(tmp_path: Path) -> None:
    composed = 0
    for command in commands():
        if (overrides := overrides_of(command)) is not None:
            overrides = [each for each in overrides if not each.startswith("hydra")]
            overrides = [re.sub(r"^images=/.*", f"images={tmp_path}", each) for each in overrides]  # a folder there is
            try:
                check_settings(compose_any(tmp_path, *expanded(overrides)))
            except Exception as error:
                raise AssertionError(f"{command}: {error}") from error
            composed += 1
    assert composed > 100


def test_commands_name_tasks_that_exist() -> None:
    names = {task.name for task in TASKS}
    for path in DOCUMENTS:
        if path.name == "CHANGELOG.md":  # names what was renamed
            continue
        for name in re.findall(r"\btask=([a-z_]+)", path.read_text(encoding="utf-8")):
            assert name in names or name in OTHERS, f"{path.name}: task={name}"


def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a document, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            name, _, anchor = target.partition("#")
            other = path.parent / name if name else path
            assert other.exists(), target
            assert not anchor or anchor in anchors(other), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_lines_of_prose_are_short(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    long = [line for line in text.splitlines() if len(line) >= WIDE and not line.startswith(("|", "    "))]
    assert not long
