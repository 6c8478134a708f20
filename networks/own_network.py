"""A user's own network from her own package, which runs only if she has named the package.

The packages are named on the command line (``trust=[my_package]``) and nowhere else: no file of a configuration, a
study or a data folder can add one.
"""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
CLASSES = ("num_classes", "classes", "n_classes", "num_labels")  # how constructors call the number of logits
ROOMS = (  # packages of this project: one of hers with the same name would not be found
    "benchmarks", "callbacks", "datamodules", "hydra_plugins", "lightning_modules", "methods", "metrics", "networks",
    "report", "run", "stats", "study", "tasks", "tests",
)  # fmt: skip
_TRUSTED: set[str] = set()


class TrustedHere:
    """Finds trusted packages in the current directory, and nothing else there.

    With the directory in ``sys.path``, a library that looks for an optional package would run whatever has its name.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The place of a package; the parts of one that has been found are not looked for here."""
        return PathFinder.find_spec(name, [str(Path.cwd())], target) if path is None and name in _TRUSTED else None


def trust_packages(names: Iterable[str]) -> None:
    """Allow the code of packages to run, those of the current directory, too; replaces what was allowed before.

    Args:
        names: Names of packages at the top level.

    Raises:
        ValueError: If one is no such name, or a name of Python itself, of PyTorch or of this project.
    """
    chosen = set(names)
    for name in chosen:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise ValueError(f"trust={name}: give names of packages at the top level, as trust=[my_package]")
        if name in sys.stdlib_module_names or name in ("torch", "torchvision"):
            raise ValueError(f"trust={name}: that is no package of yours; name the one that has your network")
        if name in ROOMS:
            raise ValueError(f"trust={name}: this project has a package of that name; give yours another name")
    _TRUSTED.clear()
    _TRUSTED.update(chosen)
    if TrustedHere not in sys.meta_path:
        sys.meta_path.append(TrustedHere)  # last, so that no installed package is hidden


def own_network(entry: str, classes: int | None, arguments: Mapping[str, Any]) -> nn.Module:
    """Make a network from a class, or a function, of a trusted package.

    Args:
        entry: Where it is, as ``my_package.my_module.MyNet``.
        classes: Number of logits, given to it if it has an argument named ``num_classes`` or the like.
        arguments: Its other arguments.

    Raises:
        ValueError: If the package is not trusted or not there, or the entry is no network of it.
    """
    made = found(entry)
    if inspect.isclass(made):
        if not issubclass(made, nn.Module):
            raise ValueError(
                f"module:{entry} is no torch.nn.Module: name a class that is, or a function that makes one"
            )
    elif not inspect.isfunction(made):
        raise ValueError(f"module:{entry} is neither a class nor a function of Python: name one that makes a network")
    if str(made.__module__).partition(".")[0] not in _TRUSTED:
        raise ValueError(
            f"module:{entry} is from {made.__module__}, which trust does not name: name where it is defined"
        )
    options = dict(arguments)
    known = inspect.signature(made).parameters
    named = [name for name in CLASSES if name in known]
    if named and classes is not None and not set(named) & options.keys():
        options[named[0]] = classes
    try:
        inspect.signature(made).bind(**options)
    except TypeError as error:
        raise ValueError(f"module:{entry}: {error}; its arguments are {', '.join(known)}") from error
    network = made(**options)
    if not isinstance(network, nn.Module):
        raise ValueError(f"module:{entry} makes a {type(network).__name__}, no torch.nn.Module")
    return network


def own_metadata(entry: str) -> dict[str, Any]:
    """What a class or function says of its preprocessing, in ``pretrained_cfg`` or ``default_cfg`` as timm's do."""
    made = found(entry)
    known: Any = getattr(made, "pretrained_cfg", None) or getattr(made, "default_cfg", None)
    if not isinstance(known, Mapping):
        return {}
    metadata = {name: known[name] for name in ("mean", "std", "interpolation", "class_names") if name in known}
    if "label_names" in known:
        metadata["class_names"] = known["label_names"]
    if "input_size" in known:
        metadata["size"] = known["input_size"][-1]
        if "crop_pct" in known:
            metadata["resize"] = int(metadata["size"] / known["crop_pct"])
    return metadata


def source_file(entry: str) -> Path:
    """The file that the code of an entry is in."""
    return Path(inspect.getfile(found(entry)))


def found(entry: str) -> Any:
    """What an entry names; its package is imported only if it is trusted."""
    if not ENTRY.fullmatch(entry):
        raise ValueError(
            f"module:{entry}: give a package, its modules and a name, as module:my_package.my_module.MyNet"
        )
    package = entry.partition(".")[0]
    if package not in _TRUSTED:
        raise ValueError(
            f"module:{entry}: the code of {package} is run only if you say so, on the command line: trust=[{package}]"
        )
    if importlib.util.find_spec(package) is None:
        raise ValueError(f"module:{entry}: there is no package {package}, neither installed nor in {Path.cwd()}")
    module, _, name = entry.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"module:{entry} cannot be imported ({error}): correct the name") from error
