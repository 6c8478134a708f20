"""Programs of ``torch.export`` as classifiers: any architecture, without its code.

``torch.export.load`` trusts its file: it unpickles what the file says, resolves any name of PyTorch as an operator and
evaluates expressions. Here the file is looked through first, and nothing is unpickled while it is loaded.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import torch
import torch.export
from torch import Tensor, nn
from torch.export.pt2_archive import _package

OPERATOR = re.compile(r"torch\.ops\.(aten|prims|higher_order|torchvision)\.\w+(\.\w+)?")
ARITHMETIC = re.compile(
    r"(_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(ceil|floor|trunc|sqrt)|torch\.sym_(int|float|max|min|not|ite|sqrt|sum))"
)
REFUSED_OPERATORS = ("from_file",)  # it opens a file that the program names
SYMBOLIC = re.compile(
    r"([su]\d+|Symbol|Integer|Rational|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|ModularIndexing|Where"
    r"|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|oo|int_oo|True|False|true|false"
    r"|positive|negative|nonnegative|integer|real|finite|evaluate)"
)
NO_ARITHMETIC = re.compile(r"\.\s*[^\W\d]|[\[\]{}:;\\]")  # an attribute, an index, a statement
PROGRAM = re.compile(r"[^/]+/models/[\w.-]+\.json")
TENSORS = re.compile(r"[^/]+/data/(weights|constants)/[\w.-]+_config\.json")
KNOWN = re.compile(
    r"[^/]+/(version|byteorder|archive_format|archive_version|\.data/\w+|\.format_version|\.storage_alignment"
    r"|models/[\w.-]+\.json|data/(weights|constants)/[\w.-]+|data/sample_inputs/[\w.-]+\.pt|extra/[\w./-]+)"
)
METADATA = "metadata.json"


class ExportedNetwork(nn.Module):
    """A program as a module: gradients reach its input, and its parameters can be moved and frozen.

    Args:
        program: The program; it takes images ``(N, 3, H, W)``.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        program._guards_code = []  # text from the file, which would be run as code
        self.program = program.module()
        self.batch = fixed_batch(program)

    def forward(self, images: Tensor) -> Any:
        """The output of the program; a fixed batch is filled up with the last image, and what is added cut off."""
        if self.batch is None or len(images) == self.batch:
            return self.program(images)
        parts = []
        for part in images.split(self.batch):
            missing = self.batch - len(part)
            filled = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
            parts.append(cut(self.program(filled), len(part)))
        return joined(parts)

    def train(self, mode: bool = True) -> Self:
        """Do nothing to the program: it was exported in one mode, and refuses to change it."""
        self.training = mode
        return self


def cut(output: Any, count: int) -> Any:
    """The first rows of every tensor of an output."""
    if isinstance(output, dict):
        return {name: cut(value, count) for name, value in output.items()}
    if isinstance(output, list | tuple):
        return tuple(cut(value, count) for value in output)
    return output[:count] if isinstance(output, Tensor) and output.ndim else output


def joined(parts: list[Any]) -> Any:
    """Outputs for parts of a batch, put together."""
    first = parts[0]
    if isinstance(first, dict):
        return {name: joined([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple):
        return tuple(joined([part[number] for part in parts]) for number in range(len(first)))
    return torch.cat(parts) if isinstance(first, Tensor) and first.ndim else first


def exported_network(path: str, classes: int | None) -> ExportedNetwork:
    """A classifier from a file of ``torch.export.save``.

    Args:
        path: The file, usually ``.pt2``.
        classes: Not used: the program knows.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no program, takes something else than images, or holds what could run code.
    """
    check_program(Path(path))
    with nothing_is_unpickled():
        try:
            program = torch.export.load(path)
        except Exception as error:  # of a damaged file, anything
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{path} cannot be loaded as a program of torch.export ({reason}): export it again"
            ) from error
    shapes = input_shapes(program)
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3:
        raise ValueError(f"{path} takes inputs of shapes {shapes}: export a program that takes images (N, 3, H, W)")
    return ExportedNetwork(program)


def input_shapes(program: torch.export.ExportedProgram) -> list[tuple[Any, ...]]:
    """The shapes of the inputs that a user gives; dimensions that are not fixed are symbols."""
    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    return [tuple(node.meta["val"].shape) for node in nodes if isinstance(node.meta.get("val"), Tensor)]


def fixed_batch(program: torch.export.ExportedProgram) -> int | None:
    """The number of images that a program takes, if that is fixed."""
    batch = input_shapes(program)[0][0]
    return batch if isinstance(batch, int) else None


def exported_metadata(path: str) -> dict[str, Any]:
    """What a file says of itself in its extra file ``metadata.json``, such as ``mean``, ``std`` and ``class_names``.

    The size of images is taken from the program if it is fixed there.
    """
    check_program(Path(path))
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(f"/extra/{METADATA}")]
        known = json.loads(archive.read(names[0])) if names else {}
        [program] = [name for name in archive.namelist() if PROGRAM.fullmatch(name)]
        size = fixed_side(json.loads(archive.read(program)))
    if not isinstance(known, dict):
        raise ValueError(f'{path}: {METADATA} must hold a mapping, as {{"mean": [0.5, 0.5, 0.5]}}')
    return ({"size": size} if size else {}) | known


def fixed_side(program: dict[str, Any]) -> int | None:
    """The side of the square images that a program takes, in pixels, if it is fixed."""
    graph = program["graph_module"]["graph"]
    specs = program["graph_module"]["signature"]["input_specs"]
    inputs = [spec["user_input"]["arg"] for spec in specs if "user_input" in spec]
    names = [given["as_tensor"]["name"] for given in inputs if "as_tensor" in given]
    if len(names) != 1:
        return None
    sides = [size.get("as_int") for size in graph["tensor_values"][names[0]]["sizes"][2:]]
    return sides[0] if len(set(sides)) == 1 else None


def check_program(path: Path) -> None:
    """Refuse a file that is no program of ``torch.export``, or could run code when it is loaded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Says what is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"exported program {path} does not exist: correct the path")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no program of torch.export: save one with torch.export.save")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        programs = [name for name in names if PROGRAM.fullmatch(name)]
        if len(programs) != 1:
            raise ValueError(
                f"{path} holds {len(programs)} programs of torch.export (of PyTorch 2.8 or later): save one again"
            )
        if others := [name for name in names if not KNOWN.fullmatch(name) or "custom_obj" in name]:
            raise ValueError(f"{path} holds {others[0]}, which is no part of a plain program, so it is not loaded")
        for name in names:
            if TENSORS.fullmatch(name) and any(
                pickled for pickled in values_of(json.loads(archive.read(name)), "use_pickle")
            ):
                raise ValueError(
                    f"{path} holds pickled tensors, which could run code, so it is not loaded: export plain ones"
                )
        check_graph(json.loads(archive.read(programs[0])), path)


def check_graph(program: Any, path: Path) -> None:
    """Refuse operators other than those of PyTorch's tensors, and expressions that are no arithmetic."""
    for target in values_of(program, "target"):
        if not isinstance(target, str):
            continue
        allowed = OPERATOR.fullmatch(target) or ARITHMETIC.fullmatch(target)
        if "." in target and (not allowed or any(name in target for name in REFUSED_OPERATORS)):
            raise ValueError(f"{path} calls {target}, which is no operator on tensors, so it is not loaded")
    for expression in values_of(program, "expr_str"):
        names = re.findall(r"[^\W\d]\w*", str(expression))
        if any(not SYMBOLIC.fullmatch(name) for name in names) or re.search(
            r"\.\s*[^\W\d]|[\[\]{}:;\\]", str(expression)
        ):
            raise ValueError(
                f"{path} holds the expression {str(expression)[:60]!r}, which is no arithmetic, so it is not loaded"
            )


def values_of(tree: Any, key: str) -> Iterator[Any]:
    """Every value of a key in nested mappings and lists."""
    if isinstance(tree, dict):
        for name, branch in tree.items():
            if name == key:
                yield branch
            yield from values_of(branch, key)
    elif isinstance(tree, list):
        for branch in tree:
            yield from values_of(branch, key)


@contextmanager
def nothing_is_unpickled() -> Iterator[None]:
    """Let ``torch.load`` read tensors alone, and refuse every other way to unpickle, while a program is loaded."""
    load = torch.load

    def tensors_alone(*arguments: Any, **options: Any) -> Any:
        return load(*arguments, **options | {"weights_only": True})

    def refuse(*_: Any, **__: Any) -> Any:
        raise pickle.UnpicklingError("it holds a pickled object, which could run code")

    with (
        patch.object(torch, "load", tensors_alone),
        patch.object(_package.pickle, "loads", refuse),
        patch.object(torch._C, "_pickle_load_obj", refuse),
    ):
        yield
