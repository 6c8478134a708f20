"""Short forms of the command line: what they stand for is decided before Hydra composes the configuration.

Sweeps and ranks run the command line again, so both see the same.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

from study.configuration.names import LENGTH, LIBRARIES, OWN, RESERVED_STUDIES, check_folder, entry_name

FOLDER_TASKS = ("layer_features",)  # its images= is a folder of its own


def expanded(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments with their short forms written out.

    ``images=/my/photos`` stands for ``data=images data.root=/my/photos study=photos``, except with
    ``task=layer_features``, which has images of its own;
    ``classifier=timm/resnet18`` for ``classifier=timm classifier.name=resnet18``; and ``classifier=module:…`` and
    ``classifier=exported:…`` likewise for a network of one's own. ``task=ask`` adds ``experiment=ask``.

    Args:
        arguments: Those after the name of the program.

    Raises:
        ValueError: If ``images`` is given together with ``data``, or is no folder; or ``task=ask`` has no classifier.

    Example:
        >>> expanded(["task=finetune", "classifier=timm/resnet18"])
        ['task=finetune', 'classifier=timm', "classifier.name='resnet18'"]
    """
    if "ask" in (task := unquoted(values_of(arguments).get("task", ""))).split(","):
        if task != "ask":
            raise ValueError(f"task={task}: task=ask is a study of its own; give it a command of its own")
        arguments = asked(arguments, values_of(arguments))
    if task not in FOLDER_TASKS:
        arguments = with_image_folder(arguments, values_of(arguments))
    result: list[str] = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        plain = unquoted(value)
        if name == "classifier" and plain.partition(":")[0] in OWN and ":" in plain:
            result += own_classifier(plain)
        elif name == "classifier" and plain.partition("/")[0] in LIBRARIES and "/" in plain:
            library, _, architecture = plain.partition("/")
            result += [f"classifier={library}", f"classifier.name={quoted(architecture)}"]
        else:
            result.append(argument)
    return result


def values_of(arguments: Sequence[str]) -> dict[str, str]:
    """The values of the command line as typed, by key: the last one counts, and ``+key=`` and ``++key=`` are keys."""
    return {name.lstrip("+"): value for name, _, value in (argument.partition("=") for argument in arguments)}


def asked(arguments: Sequence[str], values: dict[str, str]) -> list[str]:
    """The arguments of ``task=ask`` as those of a study of one classifier, with its quick settings.

    Raises:
        ValueError: If no classifier is named, or another experiment.
    """
    if "classifier" not in values and "classifiers" not in values:
        raise ValueError("task=ask is about one network: name it, as classifier=torchvision/resnet50")
    if "experiment" in values:
        raise ValueError("task=ask is an experiment by itself: leave experiment= out, or use task=study")
    entry = unquoted(values.get("classifier", ""))
    if entry in LIBRARIES and "classifier.name" in values:
        entry = f"{entry}/{unquoted(values['classifier.name'])}"
    listed = entry or unquoted(values["classifiers"].strip("[]"))
    named = [f"classifiers=[{quoted(entry)}]"] if entry else []
    shown = unquoted(values.get("images", values.get("data", "photographs")))
    study = []
    if "study" not in values and "${" not in shown:
        study = [f"study={quoted(short(f'ask-{entry_name(listed)}-{study_name(Path(shown).expanduser())}'))}"]
    return [*arguments, *named, "experiment=ask", *study]


def short(name: str) -> str:
    """As much of a name as the name of a study may have."""
    return name.encode()[:LENGTH].decode(errors="ignore").strip()


def own_classifier(entry: str) -> list[str]:
    """The overrides for a network of one's own, ``module:…`` or ``exported:…``."""
    kind, _, rest = entry.partition(":")
    key = "network.entry" if kind == "module" else "weights"
    value = rest if kind == "module" else str(Path(rest).expanduser().absolute())
    return [f"classifier={kind}", f"classifier.name={quoted(entry_name(entry))}", f"classifier.{key}={quoted(value)}"]


def with_image_folder(arguments: Sequence[str], values: dict[str, str]) -> Sequence[str]:
    """The arguments with a folder of any images as the data; a study is named after it unless the command names one.

    Raises:
        ValueError: If the folder is missing, or the command names other data or a path that is known only later.
    """
    path = unquoted(values.get("images", ""))
    if path in ("", "null"):
        return arguments
    if taken := [name for name in ("data", "data.root") if name in values]:
        raise ValueError(
            f"images={path} stands for data=images data.root={path}, and {taken[0]} is given, too: leave one out"
        )
    others = [argument for argument in arguments if argument.partition("=")[0].lstrip("+") != "images"]
    folder = Path(path).expanduser().absolute()
    if folder.is_dir():
        check_folder(folder, "images")
        study = [] if "study" in values else [f"study={quoted(study_name(folder))}"]
        return [*others, "data=images", f"data.root={quoted(str(folder))}", *study]
    if "${" not in path:
        raise ValueError(f"images={path} is not a folder: name one that holds images, at any depth")
    if "study" not in values:
        raise ValueError(f"images={path}: a study is named after its folder, which is not known yet: give study=<name>")
    return [*others, "data=images", f"data.root={values['images']}"]


def study_name(folder: Path) -> str:
    """A name for the study of a folder: that of the folder, without what a study's name cannot have."""
    name = re.sub(r"[^\w .+-]", "_", folder.resolve().name).lstrip(" .-").encode()[:LENGTH].decode(errors="ignore")
    name = name.strip() or "images"
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
