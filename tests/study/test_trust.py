"""Nothing of a package runs that the command line has not named: forty ways to try it, and a canary in each."""

import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from torch import nn

import run
from networks.exported import check_program, exported_network
from networks.own_network import own_network, trust_packages
from study.configuration.shortcuts import trusted_packages
from tests.studies import Program, compose

CANARY = "LIKE_TO_SEE_CANARY"
SINGS = f"import os\nos.environ[{CANARY!r}] = 'sang'\n"
NETWORK = "from torch import nn\n\n\nclass Net(nn.Linear):\n    def __init__(self):\n        super().__init__(3, 2)\n"


PACKAGES = ("evil", "evil_too", "mine", "single", "linked")
SPOKEN = "__import__('os').system('touch canary')"


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
    (["torch"], "torch.hub.load"), (["mine"], "${oc.env:HOME}.net.Net"),
]  # fmt: skip


@pytest.mark.parametrize(("trusted", "entry"), ENTRIES, ids=lambda value: str(value)[:40])
def test_an_entry_of_a_package_that_is_not_trusted_runs_nothing(trusted: list[str], entry: str) -> None:
    trust_packages(trusted)
    with pytest.raises(ValueError, match="module:"):
        own_network(entry, None, {"command": "touch canary"} if "system" in entry else {})


def test_a_network_of_a_trusted_package_is_made() -> None:
    with pytest.raises(ValueError, match=r"the code of mine is run only if you say so, .*: trust=\[mine\]"):
        own_network("mine.net.Net", None, {})
    trust_packages(["mine"])
    assert isinstance(own_network("mine.net.Net", None, {}), nn.Linear)
    with pytest.raises(ValueError, match=r"module:mine.net.Net: .*; its arguments are"):
        own_network("mine.net.Net", None, {"width": 3})


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
        ("classifier_settings={vgg_compact:{preprocessing:{_target_:networks.declared.own_preprocessing}}}",),
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


class Sings:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch canary",)


def saved(path: Path) -> Path:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    ).eval()
    torch.export.save(torch.export.export(network, (torch.rand(2, 3, 16, 16),)), path)
    return path


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None], **added: bytes) -> Path:
    """A program with other contents of its entries."""
    other = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        root = source.namelist()[0].partition("/")[0]
        for name in source.namelist():
            content = change(name.partition("/")[2], source.read(name))
            if content is not None:
                target.writestr(name, content)
        for name, content in added.items():
            target.writestr(f"{root}/{name.replace('__', '/')}", content)
    return other


def unchanged(_: str, content: bytes) -> bytes:
    return content


def with_text(old: str, new: str) -> Callable[[str, bytes], bytes]:
    return lambda name, content: content.replace(old.encode(), new.encode()) if name.endswith("model.json") else content


def pickled(where: str) -> Callable[[str, bytes], bytes]:
    buffer = io.BytesIO()
    torch.save({"x": Sings()}, buffer)
    return lambda name, content: buffer.getvalue() if name.startswith(where) else content


def marked_as_pickled(name: str, content: bytes) -> bytes:
    if name.endswith("weights_config.json"):
        return content.replace(b'"use_pickle": false', b'"use_pickle": true')
    return pickle.dumps(Sings()) if name.startswith("data/weights/weight_") else content


def guarded(name: str, content: bytes) -> bytes:
    if not name.endswith("model.json"):
        return content
    program = json.loads(content)
    program["guards_code"] = ["__import__('os').system('touch canary') == 0"]
    return json.dumps(program).encode()


RELU = "torch.ops.aten.relu.default"
CUSTOM, LIBRARY = {"data__constants__custom_obj_0": pickle.dumps(Sings())}, {"data__aotinductor__model__x": b"\x7fELF"}
EXPRESSION = json.dumps({"as_expr": {"expr_str": SPOKEN, "hint": None}})
PROGRAMS: dict[str, Callable[[Path], Path]] = {
    "sample inputs pickled": lambda path: rewritten(path, pickled("data/sample_inputs")),
    "weights marked as pickled": lambda path: rewritten(path, marked_as_pickled),
    "a custom object": lambda path: rewritten(path, unchanged, **CUSTOM),
    "a compiled library": lambda path: rewritten(path, unchanged, **LIBRARY),
    "a script": lambda path: rewritten(path, unchanged, code__x=b"import os"),
    "another operator": lambda path: rewritten(path, with_text(RELU, "torch.hub.load")),
    "os as an operator": lambda path: rewritten(path, with_text(RELU, "os.system")),
    "a caller": lambda path: rewritten(path, with_text(RELU, "_operator.methodcaller")),
    "a file as an operator": lambda path: rewritten(path, with_text(RELU, "torch.ops.aten.from_file.default")),
    "a name that is code": lambda path: rewritten(path, with_text('"name": "relu"', f'"name": "relu={SPOKEN}"')),
    "an expression that is code": lambda path: rewritten(path, with_text('{"as_int": 16}', EXPRESSION)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_exported_program_that_holds_code_is_not_loaded(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"changed\.pt2"):
        exported_network(str(PROGRAMS[name](saved(tmp_path / "good.pt2"))), None)


def test_guards_of_an_exported_program_are_not_run(tmp_path: Path) -> None:
    network = exported_network(str(rewritten(saved(tmp_path / "good.pt2"), guarded)), None)
    assert network(torch.rand(2, 3, 16, 16)).shape == (2, 5)


def test_a_pickle_named_as_a_program_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.pt2").write_bytes(pickle.dumps(Sings()))
    with pytest.raises(ValueError, match=r"is no program of torch\.export"):
        check_program(tmp_path / "a.pt2")
    torch.save({"x": Sings()}, tmp_path / "b.pt2")
    with pytest.raises(ValueError, match=r"holds 0 programs of torch\.export"):
        check_program(tmp_path / "b.pt2")
    shutil.copy(saved(tmp_path / "good.pt2"), tmp_path / "c.pt2")
    check_program(tmp_path / "c.pt2")
