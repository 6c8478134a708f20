"""Exported programs that hold code: none of it runs, whatever part of the file it is in."""

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
from torch import nn

from networks.exported import exported_network
from networks.outputs import reader_of
from networks.program_files import ProgramFile

SPOKEN = "__import__('os').system('touch canary')"


@pytest.fixture(autouse=True)
def _silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that makes a file when it is imported; and a check that nothing has made one."""
    (tmp_path / "evil").mkdir()
    for name in ("__init__.py", "net.py"):
        (tmp_path / "evil" / name).write_text("open('canary', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    assert not (tmp_path / "canary").exists()
    assert not {"evil", "evil.net"} & sys.modules.keys()


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


def changed_program(change: Callable[[Any], None]) -> Callable[[str, bytes], bytes]:
    def changed(name: str, content: bytes) -> bytes:
        if not name.endswith("model.json"):
            return content
        program = json.loads(content)
        change(program)
        return json.dumps(program).encode()

    return changed


def edited(path: Path, change: Callable[[Any], None]) -> Path:
    return rewritten(path, changed_program(change))


def with_guard(program: Any) -> None:
    program["guards_code"] = [f"{SPOKEN} == 0"]


def with_output(kind: str, context: Any) -> Callable[[Any], None]:
    """A description of the output as a type that PyTorch imports when it loads the program."""

    def change(program: Any) -> None:
        [whole] = [entry for entry in program["graph_module"]["module_call_graph"] if entry["fqn"] == ""]
        described = {"type": kind, "context": context, "children_spec": [json.loads(whole["signature"]["out_spec"])[1]]}
        whole["signature"]["out_spec"] = json.dumps([1, described])

    return change


def with_module(program: Any) -> None:
    """A description of a module within the network, with types of its own."""
    [whole] = [entry for entry in program["graph_module"]["module_call_graph"] if entry["fqn"] == ""]
    part = json.loads(json.dumps(whole)) | {"fqn": "1"}
    part["signature"]["in_spec"] = json.dumps([1, {"type": "builtins.dict", "context": ENUM, "children_spec": []}])
    program["graph_module"]["module_call_graph"].append(part)


def with_operator(target: str, *inputs: Any) -> Callable[[Any], None]:
    def change(program: Any) -> None:
        [relu] = [node for node in program["graph_module"]["graph"]["nodes"] if node["target"] == RELU]
        relu["target"] = target
        relu["inputs"] += [{"name": name, "arg": argument, "kind": 1} for name, argument in inputs]

    return change


def with_name(old: str, new: str) -> Callable[[Any], None]:
    """Another name of a value: PyTorch writes it into Python that it runs."""

    def change(program: Any) -> None:
        text = json.dumps(program).replace(json.dumps(old), json.dumps(new))
        program.clear()
        program.update(json.loads(text))

    return change


def twice(path: Path) -> Path:
    """A second program of the same name, which another reader of archives may prefer."""
    other = rewritten(path, unchanged)
    with zipfile.ZipFile(other, "a") as target:
        [name] = [name for name in target.namelist() if name.endswith("model.json")]
        content = with_text(RELU, "torch.hub.load")("model.json", target.read(name))
        with pytest.warns(UserWarning, match="Duplicate name"):
            target.writestr(name, content)
    return other


RELU = "torch.ops.aten.relu.default"
ENUM = json.dumps([{"__enum__": True, "fqn": "evil.net:Net", "name": "a"}])
FACTORY = {"default_factory_module": "evil", "default_factory_name": "__name__", "dict_context": ["logits"]}
CUSTOM, LIBRARY = {"data__constants__custom_obj_0": pickle.dumps(Sings())}, {"data__aotinductor__model__x": b"\x7fELF"}
EXPRESSION = json.dumps({"as_expr": {"expr_str": SPOKEN, "hint": None}})
PROGRAMS: dict[str, Callable[[Path], Path]] = {
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
    "an operator that writes a file": lambda path: edited(
        path, with_operator("torch.ops.aten.save.default", ("filename", {"as_string": "canary"}))),
    "an operator that calls an operator": lambda path: edited(
        path, with_operator("torch.ops.higher_order.run_and_save_rng_state", ("", {"as_operator": "torch.hub.load"}))),
    "an operator as an argument": lambda path: edited(
        path, with_operator(RELU, ("", {"as_operator": "torch.hub.load"}))),
    "an input that is code": lambda path: edited(path, with_name("input", f"input={SPOKEN}")),
    "a parameter that is code": lambda path: edited(path, with_name("0.weight", f'0."),{SPOKEN},getattr(self,"weight')),
    "a second program of the same name": twice,
    "a second program": lambda path: rewritten(path, unchanged, models__other=b"{}", **{"models__other.json": b"{}"}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_exported_program_that_holds_code_is_not_loaded(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"changed\.pt2"):
        exported_network(str(PROGRAMS[name](saved(tmp_path / "good.pt2"))), None)


DROPPED: dict[str, Callable[[Path], Path]] = {  # what nobody needs is not even read
    "a guard": lambda path: edited(path, with_guard),
    "sample inputs pickled": lambda path: rewritten(path, pickled("data/sample_inputs")),
    "a module with a type of its own": lambda path: edited(path, with_module),
    "an output that is a type of a package": lambda path: edited(path, with_output("evil.net.Net", ENUM)),
    "an output with a value of an enumeration": lambda path: edited(path, with_output("builtins.dict", ENUM)),
    "an output with a factory": lambda path: edited(path, with_output("collections.defaultdict", FACTORY)),
    "an output with a factory as text": lambda path: edited(path, with_output("collections.deque", "[[1]]")),
}


@pytest.mark.parametrize("name", DROPPED)
def test_what_a_program_says_beside_its_computation_is_not_run(name: str, tmp_path: Path) -> None:
    network = exported_network(str(DROPPED[name](saved(tmp_path / "good.pt2"))), None)
    output = network(torch.rand(2, 3, 16, 16))
    reader = reader_of(output, 2)
    assert (output if reader is None else reader(output)).shape == (2, 5)


def test_a_pickle_named_as_a_program_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.pt2").write_bytes(pickle.dumps(Sings()))
    with pytest.raises(ValueError, match=r"is no program of torch\.export"):
        ProgramFile(tmp_path / "a.pt2")
    torch.save({"x": Sings()}, tmp_path / "b.pt2")
    with pytest.raises(ValueError, match=r"holds 0 programs of torch\.export"):
        ProgramFile(tmp_path / "b.pt2")
    shutil.copy(saved(tmp_path / "good.pt2"), tmp_path / "c.pt2")
    ProgramFile(tmp_path / "c.pt2")
