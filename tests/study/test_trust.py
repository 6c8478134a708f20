"""Nothing of a package runs that the command line has not named: ways to try it, and a canary in each."""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from torch import nn

import run
from networks.own_network import ROOMS, own_network, trust_packages
from study.configuration.shortcuts import trusted_packages
from tests.studies import REPOSITORY, Program, compose

CANARY = "LIKE_TO_SEE_CANARY"
SINGS = f"import os\nos.environ[{CANARY!r}] = 'sang'\n"
NETWORK = "from torch import nn\n\n\nclass Net(nn.Linear):\n    def __init__(self):\n        super().__init__(3, 2)\n"


PACKAGES = ("evil", "evil_too", "mine", "single", "linked")


@pytest.fixture(autouse=True)
def _silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Packages that sing when they are imported, beside one that is trusted; and a check that none has sung."""
    for name in ("evil", "evil_too", "mine"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("" if name == "mine" else SINGS)
        (tmp_path / name / "deep" / "__init__.py").write_text("" if name == "mine" else SINGS)
        (tmp_path / name / "net.py").write_text(NETWORK if name == "mine" else SINGS + NETWORK)
    (tmp_path / "mine" / "borrowed.py").write_text("from os import system\nfrom subprocess import run\n")
    (tmp_path / "single.py").write_text(SINGS + NETWORK)
    (tmp_path / "linked.py").symlink_to(tmp_path / "single.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(CANARY, raising=False)
    trust_packages([])
    yield
    assert CANARY not in os.environ
    assert not (tmp_path / "canary").exists()
    trust_packages([])
    for name in [
        name for name in sys.modules if name.partition(".")[0] in ("evil", "evil_too", "mine", "single", "linked")
    ]:
        del sys.modules[name]


ENTRIES = [  # what is trusted, and what is asked for
    ([], "evil.net.Net"), ([], "evil.deep.Net"), ([], "single.Net"), ([], "linked.Net"), ([], "os.system"),
    ([], "mine.net.Net"), (["mine"], "evil.net.Net"), (["mine"], "evil_too.net.Net"), (["evil_to"], "evil_too.net.Net"),
    (["Evil"], "evil.net.Net"), (["EVIL"], "evil.net.Net"), (["evil_too"], "evil.net.Net"), (["mine"], ".evil.net.Net"),
    (["mine"], "mine..evil.net.Net"), (["mine"], "mine.net"), (["mine"], "mine"), (["mine"], ""),
    (["mine"], "mine.net."),    (["mine"], "__import__('os').system"), (["mine"], "mine.net.Net; import evil"),
    (["mine"], "mine.net.Net\nimport evil"),
    (["mine"], "mine/../evil.net.Net"), (["mine"], "mine.net.Net()"), (["mine"], "mine.borrowed.system"),
    (["mine"], "mine.borrowed.run"), (["mine"], "mine.net.nn"), (["mine"], "mine.net.__builtins__"),
    (["mine"], "mine.__init__.Net"), (["mine"], "mіne.net.Net"), (["mine"], "ｍine.net.Net"), (["os"], "os.system"),
    (["builtins"], "builtins.exec"), (["builtins"], "builtins.eval"), (["subprocess"], "subprocess.Popen"),
    (["importlib"], "importlib.import_module"), (["pickle"], "pickle.loads"), (["runpy"], "runpy.run_path"),
    (["os"], "os.makedirs"), (["torch"], "torch.hub.load"), (["mine"], "${oc.env:HOME}.net.Net"),
]  # fmt: skip


@pytest.mark.parametrize(("trusted", "entry"), ENTRIES, ids=lambda value: str(value)[:40])
def test_an_entry_of_a_package_that_is_not_trusted_runs_nothing(trusted: list[str], entry: str) -> None:
    def make() -> None:
        trust_packages(trusted)
        own_network(entry, None, {"command": "touch canary"} if "system" in entry else {})

    with pytest.raises(ValueError, match=r"module:|trust=\w+: that is no package of yours"):
        make()


def test_a_network_of_a_trusted_package_is_made() -> None:
    with pytest.raises(ValueError, match=r"the code of mine is run only if you say so, .*: trust=\[mine\]"):
        own_network("mine.net.Net", None, {})
    trust_packages(["mine"])
    assert isinstance(own_network("mine.net.Net", None, {}), nn.Linear)
    with pytest.raises(ValueError, match=r"module:mine.net.Net: .*; its arguments are"):
        own_network("mine.net.Net", None, {"width": 3})


def test_the_current_directory_gives_trusted_packages_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(tmp_path)])
    trust_packages(["mine"])
    assert isinstance(own_network("mine.net.Net", None, {}), nn.Linear)
    for name in ("evil", "single", "linked"):  # as a library looks for a package that it can do without
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)
    assert str(tmp_path) not in sys.path


def test_names_of_this_project_cannot_be_trusted() -> None:
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert packages | {"hydra_plugins", "run"} == set(ROOMS)
    for name in ROOMS:
        with pytest.raises(ValueError, match=f"trust={name}: this project has a package of that name"):
            trust_packages([name])


@pytest.mark.parametrize("name", ["mine.net", "my-package", "../evil", "", "evil;", "*", "__import__('evil')"])
def test_only_names_of_packages_can_be_trusted(name: str) -> None:
    with pytest.raises(ValueError, match="give names of packages at the top level"):
        trust_packages([name])


def test_trust_is_read_from_the_command_line_alone() -> None:
    assert trusted_packages(["trust=[mine,other]", "study=x"]) == ["mine", "other"]
    assert trusted_packages(["trust=mine"]) == ["mine"]
    assert trusted_packages(["+trust=[evil]", "x.trust=[evil]", "study=trust=[evil]"]) == []


@pytest.mark.parametrize(
    "overrides",
    [
        ("classifiers=[module:evil.net.Net]",),
        ("classifiers=[module:evil.net.Net]", "trust=[evil]"),  # composed, as a file would set it; not the command line
        ("classifier_settings={vgg_compact:{network:{_target_:evil.net.Net}}}",),
        ("classifier_settings={vgg_compact:{network:{_target_:networks.own_network.own_network,entry:evil.net.Net}}}",),
        ("classifier_settings={vgg_compact:{preprocessing:{_target_:networks.declared.declared_preprocessing}}}",),
    ],
)
def test_no_configuration_brings_in_a_package(overrides: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError, InstantiationException)):
        run.run(compose(tmp_path / "studies", "data.images=4", *overrides))


@pytest.mark.slow
def test_a_file_of_the_configuration_cannot_trust_a_package(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "trusting.yaml").write_text("# @package _global_\ntrust: [evil]\nclassifiers: ['module:evil.net.Net']\n")
    done = program(
        f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "experiment=trusting", "data=fake", f"studies={tmp_path}",
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "trusted on the command line only" in done.stderr or "hydra.searchpath" in done.stderr
    assert not list(tmp_path.rglob("*.safetensors"))
