"""Short forms of the command line: what they stand for is decided before Hydra composes the configuration.

Sweeps and ranks run the command line again, so both see the same.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

from study.configuration.names import LENGTH, LIBRARIES, OWN, RESERVED_STUDIES, entry_name

FOLDER_TASKS = ("layer_features",)  # its images= is a folder of its own


def expanded(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments with their short forms written out.

    ``images=/my/photos`` stands for ``data=images data.root=/my/photos study=photos``;
    ``classifier=timm/resnet18`` for ``classifier=timm classifier.name=resnet18``; and ``classifier=module:…`` and
    ``classifier=exported:…`` likewise for a network of one's own. ``task=ask`` adds ``experiment=ask``.

    Args:
        arguments: Those after the name of the program.

    Raises:
        ValueError: If ``images`` is given together with ``data``, or is no folder.

    Example:
        >>> expanded(["task=finetune", "classifier=timm/resnet18"])
        ['task=finetune', 'classifier=timm', "classifier.name='resnet18'"]
    """
    values = {name: value for name, _, value in (argument.partition("=") for argument in arguments)}
    if values.get("task") == "ask":
        arguments = asked(arguments, values)
        values = {name: value for name, _, value in (argument.partition("=") for argument in arguments)}
    result: list[str] = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        plain = unquoted(value)
        if name == "classifier" and plain.partition(":")[0] in OWN and ":" in plain:
            result += own_classifier(plain)
        elif name == "classifier" and plain.partition("/")[0] in LIBRARIES and "/" in plain:
            library, _, architecture = plain.partition("/")
            result += [f"classifier={library}", f"classifier.name={quoted(architecture)}"]
        elif name == "images" and plain not in ("", "null") and values.get("task") not in FOLDER_TASKS:
            result += image_folder(plain, values)
        else:
            result.append(argument)
    return result


def asked(arguments: Sequence[str], values: dict[str, str]) -> list[str]:
    """The arguments of ``task=ask`` as those of a study of one classifier, with its quick settings.

    Raises:
        ValueError: If no classifier is named.
    """
    if "classifier" not in values and "classifiers" not in values:
        raise ValueError("task=ask is about one network: name it, as classifier=torchvision/resnet50")
    result = [argument for argument in arguments if not argument.startswith("classifier=")]
    entry = unquoted(values.get("classifier", ""))
    if entry:
        result.append(f"classifiers=[{quoted(entry)}]")
    result += [] if "experiment" in values else ["experiment=ask"]
    if "study" not in values:
        shown = Path(unquoted(values.get("images", values.get("data", "photographs")))).expanduser()
        listed = entry or unquoted(values["classifiers"].strip("[]"))
        result.append(f"study={quoted(f'ask-{entry_name(listed)}-{study_name(shown)}'[:LENGTH])}")
    return result


def own_classifier(entry: str) -> list[str]:
    """The overrides for a network of one's own, ``module:…`` or ``exported:…``."""
    kind, _, rest = entry.partition(":")
    key = "network.entry" if kind == "module" else "weights"
    value = rest if kind == "module" else str(Path(rest).expanduser().absolute())
    return [f"classifier={kind}", f"classifier.name={quoted(entry_name(entry))}", f"classifier.{key}={quoted(value)}"]


def image_folder(path: str, values: dict[str, str]) -> list[str]:
    """The overrides for a folder of any images; a study is named after it unless the command names one."""
    if taken := [name for name in ("data", "data.root") if name in values]:
        raise ValueError(
            f"images={path} stands for data=images data.root={path}, and {taken[0]} is given, too: leave one out"
        )
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise ValueError(f"images={path} is not a folder: name one that holds images, at any depth")
    study = [] if "study" in values else [f"study={quoted(study_name(folder))}"]
    return ["data=images", f"data.root={quoted(str(folder))}", *study]


def study_name(folder: Path) -> str:
    """A name for the study of a folder: that of the folder, without what a study's name cannot have."""
    name = re.sub(r"[^\w .+-]", "_", folder.resolve().name or "images").strip().lstrip(".-")
    name = name.encode()[:LENGTH].decode(errors="ignore") or "images"
    return f"{name}_images" if name.lower() in RESERVED_STUDIES else name


def quoted(text: str) -> str:
    """Text as a value of Hydra's command line, whatever characters it has."""
    return QuotedString(text, Quote.single).with_quotes()


def unquoted(value: str) -> str:
    """A value of the command line without quotes around it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def trusted_packages(arguments: Sequence[str]) -> list[str]:
    """The packages that the command line trusts, as ``trust=[mine]`` or ``trust=mine``; the last one counts."""
    given = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == "trust"]
    return [name for name in re.split(r"[\s,\[\]'\"]+", given[-1]) if name] if given else []
