"""Files of ``torch.export``, read without running anything that they say.

``torch.export.load`` trusts its file: it unpickles, imports modules that the description of outputs names, resolves
names as functions of PyTorch, evaluates expressions, and writes the names of values into Python that it runs. So a file
is never loaded as it is. Every text in it that could have an effect must have a known form, and what is loaded is a new
file, in memory, that holds the checked parts alone.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

PROGRAM, METADATA = "models/model.json", "extra/metadata.json"
SAMPLES = "data/sample_inputs/model.pt"  # pickled, and of no use here
TENSORS = re.compile(r"data/(weights|constants)/(model_(weights|constants)_config\.json|(weight|tensor)_\d+|model\.pt)")
HEADER = re.compile(
    r"archive_format|archive_version|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/(version|serialization_id)"
)
EXTRA = re.compile(r"extra/[\w./ -]+")
OPERATOR = re.compile(r"torch\.ops\.(aten|prims|torchvision)\.(\w+)\.(\w+)", re.ASCII)
CONTROL_FLOW = re.compile(
    r"torch\.ops\.higher_order\.(cond|while_loop|map_impl|scan|associative_scan|wrap|invoke_subgraph|flex_attention"
    r"|wrap_with_set_grad_enabled|wrap_with_autocast)"
)
ARITHMETIC = re.compile(
    r"_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(ceil|floor|trunc|sqrt)|torch\.sym_(int|float|max|min|not|ite|sqrt|sum)"
)
ARGUMENTS = {  # of an operator on tensors; others, as aten::save, take anything
    "TensorType", "IntType", "SymIntType", "FloatType", "NumberType", "BoolType", "SymBoolType", "StringType",
    "DeviceObjType", "GeneratorType", "LayoutType", "MemoryFormatType", "ScalarTypeType",
}  # fmt: skip
OPENS_FILES = ("from_file",)
SYMBOLIC = re.compile(
    r"[su]\d+|zu?f\d+|Symbol|Integer|Rational|Float|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv"
    r"|ModularIndexing|Where|CeilToInt|FloorToInt|TruncToInt|TruncToFloat|RoundToInt|RoundDecimal|ToFloat|Identity"
    r"|IntTrueDiv|FloatTrueDiv|FloatPow|PowByNatural|LShift|RShift|IsNonOverlappingAndDenseIndicator|Eq|Ne|Lt|Le|Gt|Ge"
    r"|Equality|Unequality|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|And|Or|Not|oo|int_oo|True|False|true"
    r"|false|positive|negative|nonnegative|integer|real|finite|evaluate|precision"
)
NO_ARITHMETIC = re.compile(r"\.\s*[^\W\d]|[\[\]{}:;\\@]")  # an attribute, an index, a statement
IDENTIFIER = re.compile(r"([A-Za-z_]\w*)?", re.ASCII)  # positional arguments have no name
IN_MODULES = re.compile(r"\w+(\.\w+)*", re.ASCII)
FORMS = {  # of texts, by their key; where a key is not here, a text is refused
    "name": IDENTIFIER, "as_name": IDENTIFIER, "forward_arg_names": IDENTIFIER,
    "parameter_name": IN_MODULES, "buffer_name": IN_MODULES, "tensor_constant_name": IN_MODULES,
    "as_string": re.compile(r".*", re.DOTALL), "as_strings": re.compile(r".*", re.DOTALL),
    "type": re.compile(r"[a-z]+"), "path_name": re.compile(r"(weight|tensor)_\d+"),
}  # fmt: skip
FORMS |= dict.fromkeys(("as_float", "as_floats", "as_float_lists", "real", "imag"), re.compile(r"-?Infinity|NaN"))
CODE = ("as_custom_obj", "as_operator", "custom_obj", "token", "constant_input", "class_fqn")
LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
Tree = dict[str, Any]


class ProgramFile:
    """A file of ``torch.export.save`` that has been checked.

    Args:
        path: The file.

    Attributes:
        program: The program in it, without what is of no use here: guards, traces, descriptions of modules.
        metadata: What its extra file ``metadata.json`` says.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no program, or holds anything that could run code; says what.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"exported program {path} does not exist: correct the path")
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path} is no program of torch.export: save one with torch.export.save")
        try:
            with zipfile.ZipFile(path) as archive:
                self.root, self.names = entries(archive, self.path)
                for name in self.names:
                    if name.endswith("_config.json"):
                        check_payload(self.parsed(archive, name), self.path)
                self.program = plain_program(self.parsed(archive, PROGRAM), self.path)
                self.metadata = self.parsed(archive, METADATA) if METADATA in self.names else {}
        except (zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError, RecursionError, LookupError) as error:
            raise ValueError(f"{path} is damaged ({error}): export it again") from error

    def parsed(self, archive: zipfile.ZipFile, name: str) -> Tree:
        """A mapping that an entry holds as JSON."""
        content = json.loads(archive.read(f"{self.root}/{name}"))
        if not isinstance(content, dict):
            raise ValueError(f'{self.path}: {name} must hold a mapping, as {{"mean": [0.5, 0.5, 0.5]}}')
        return content

    def rewritten(self) -> io.BytesIO:
        """A file that holds the checked parts alone; readers of archives that differ cannot read anything else."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(self.path) as archive, zipfile.ZipFile(buffer, "w") as target:
            for name in self.names:
                if TENSORS.fullmatch(name) or HEADER.fullmatch(name):
                    target.writestr(f"{self.root}/{name}", archive.read(f"{self.root}/{name}"))
            target.writestr(f"{self.root}/{PROGRAM}", json.dumps(self.program))
            target.writestr(f"{self.root}/{SAMPLES}", b"")
        buffer.seek(0)
        return buffer


def entries(archive: zipfile.ZipFile, path: Path) -> tuple[str, list[str]]:
    """The folder of an archive, and the names in it.

    Raises:
        ValueError: If the archive does not hold exactly one program, or anything that is no part of a plain program.
    """
    names = archive.namelist()
    root = names[0].partition("/")[0] if names else ""
    programs = [name for name in names if re.fullmatch(r"[^/]+/models/[^/]+\.json", name)]
    if len(programs) != 1:
        raise ValueError(
            f"{path} holds {len(programs)} programs of torch.export (of PyTorch 2.8 or later): save one again"
        )
    for entry in archive.infolist():
        folder, _, name = entry.filename.partition("/")
        known = name in (PROGRAM, SAMPLES) or any(form.fullmatch(name) for form in (TENSORS, HEADER, EXTRA))
        if folder != root or not known or names.count(entry.filename) > 1 or entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{path} holds {entry.filename}, which is no part of a plain program, so it is not loaded")
    return root, [name.partition("/")[2] for name in names]


def check_payload(config: Tree, path: Path) -> None:
    """Refuse tensors that are pickled.

    Raises:
        ValueError: Says so.
    """
    for name, payload in config["config"].items():
        if payload["use_pickle"]:
            raise ValueError(
                f"{path} holds pickled tensors ({name}), which could run code, so it is not loaded: export plain ones"
            )
        check_texts(payload, "payload", path)


def plain_program(program: Tree, path: Path) -> Tree:
    """A program without what is of no use here; every text in what is left has a known form.

    Raises:
        ValueError: If a text has another form, or the program takes anything but one tensor.
    """
    module = program["graph_module"]
    inputs = [spec["user_input"]["arg"] for spec in module["signature"]["input_specs"] if "user_input" in spec]
    [whole] = [entry["signature"] for entry in module["module_call_graph"] if entry["fqn"] == ""]
    if json.loads(whole["in_spec"])[1] != one_input() or len(inputs) != 1 or "as_tensor" not in inputs[0]:
        raise ValueError(f"{path} takes other inputs than one tensor: export a program of images (N, 3, H, W) alone")
    called = {
        "inputs": [], "outputs": [], "in_spec": whole["in_spec"], "forward_arg_names": whole.get("forward_arg_names"),
        "out_spec": json.dumps([1, plain_output(json.loads(whole["out_spec"])[1], module)]),
    }  # fmt: skip
    graph, signature = without_traces(module["graph"]), module["signature"]
    checked = [graph, signature, program["range_constraints"], {"forward_arg_names": called["forward_arg_names"]}]
    for part in checked:
        check_texts(part, "", path)
    plain = {"graph": graph, "signature": signature, "module_call_graph": [{"fqn": "", "signature": called}]}
    return program | {"graph_module": plain | {"metadata": {}, "treespec_namedtuple_fields": {}}, "guards_code": []}


def one_input() -> Tree:
    """How a program describes that it takes one positional argument."""
    return container(
        "builtins.tuple", None, [container("builtins.tuple", None, [LEAF]), container("builtins.dict", [])]
    )


def container(kind: str, context: list[str] | None, children: list[Tree] | None = None) -> Tree:
    """How a program describes a container of values."""
    return {"type": kind, "context": json.dumps(context), "children_spec": children or []}


def plain_output(spec: Tree, module: Tree) -> Tree:
    """The description of an output, of tuples and mappings alone: any other type would have to be imported."""
    if spec["type"] is None:
        return LEAF
    children = [plain_output(child, module) for child in spec["children_spec"]]
    context = spec["context"]
    if spec["type"] == "collections.namedtuple":
        context = module.get("treespec_namedtuple_fields", {}).get(context, {}).get("field_names")
    elif isinstance(context, str):
        context = json.loads(context)
    if isinstance(context, list) and context and isinstance(context[0], list):  # a dataclass: fields, then empty ones
        context = context[0]
    named = isinstance(context, list) and len(context) == len(children) and all(isinstance(key, str) for key in context)
    return container("builtins.dict", context, children) if named else container("builtins.tuple", None, children)


def without_traces(tree: Any) -> Any:
    """A graph without what its nodes say of the code that they came from."""
    if isinstance(tree, list):
        return [without_traces(branch) for branch in tree]
    if not isinstance(tree, dict):
        return tree
    kept = {name: without_traces(branch) for name, branch in tree.items()}
    return kept | {"metadata": {}} if isinstance(kept.get("target"), str) else kept


def check_texts(tree: Any, key: str, path: Path) -> None:
    """Refuse texts and names of another form than those of plain programs.

    Raises:
        ValueError: Names the file and what it holds.
    """
    if isinstance(tree, Mapping):
        for name, branch in tree.items():
            if (name in CODE and branch) or not IN_MODULES.fullmatch(name):
                raise ValueError(
                    f"{path} holds {name[:60]!r}, which is no part of a plain program, so it is not loaded"
                )
            check_texts(branch, name, path)
    elif isinstance(tree, list):
        for branch in tree:
            check_texts(branch, key, path)
    elif isinstance(tree, str):
        if key == "target":
            if not is_operator(tree):
                raise ValueError(f"{path} calls {tree[:60]}, which is no operator on tensors, so it is not loaded")
        elif key == "expr_str":
            if not is_arithmetic(tree):
                raise ValueError(f"{path} holds the expression {tree[:60]!r}, which is no arithmetic: it is not loaded")
        elif key not in FORMS or not FORMS[key].fullmatch(tree):
            raise ValueError(f"{path} holds {tree[:60]!r} as {key}, which no plain program has, so it is not loaded")


def is_arithmetic(expression: str) -> bool:
    """Whether an expression of sizes is arithmetic."""
    names = re.findall(r"[^\W\d]\w*", expression)
    return all(SYMBOLIC.fullmatch(name) for name in names) and not NO_ARITHMETIC.search(expression)


def is_operator(target: str) -> bool:
    """Whether a target is arithmetic, control flow, or an operator of PyTorch on tensors, numbers and texts."""
    if ARITHMETIC.fullmatch(target) or CONTROL_FLOW.fullmatch(target):
        return True
    if not (named := OPERATOR.fullmatch(target)) or named[2] in OPENS_FILES:
        return False
    schema = getattr(getattr(getattr(torch.ops, named[1]), named[2], None), named[3], None)
    schema = getattr(schema, "_schema", None)
    return schema is not None and all(kinds(argument.type) <= ARGUMENTS for argument in schema.arguments)


def kinds(argument: Any) -> set[str]:
    """The kinds of values that an argument of an operator takes."""
    within: list[Any] = argument.containedTypes()
    return set().union(*map(kinds, within)) if within else {argument.kind()}
