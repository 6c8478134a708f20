"""Names that become names of files: what a study and a classifier can be called."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LENGTH = 150  # bytes; a file system allows 255 for a name, and seeds, tasks and endings come on top
RESERVED_STUDIES = frozenset({"cache"})  # <studies>/cache
LIBRARIES = ("torchvision", "timm")  # <library>/<name> is any classifier of theirs
OWN = ("module", "exported")  # module:<package.module.Class> and exported:<file> are a user's own networks
CONTROLS = ("second_start", "extra_training")  # autoencoders that are controls
RESERVED_CLASSIFIERS = frozenset({"pretrained", "original", *CONTROLS})
SEEDED = re.compile(r".*-seed\d+")  # <classifier>-seed<k>.safetensors


def check_study(name: Any, key: str) -> str:
    """A name of a study.

    Raises:
        ValueError: If it cannot be the name of a folder within ``studies``; names the key, the cause and the fix.
    """
    fix = f"give one name, as {key}=pets; studies=/path/to/studies chooses the folder of all studies"
    return checked(name, key, RESERVED_STUDIES, fix)


def check_classifier(name: Any, key: str) -> str:
    """A name of a classifier.

    Raises:
        ValueError: If files of a study cannot be named after it; names the key, the cause and the fix.
    """
    text = checked(name, key, RESERVED_CLASSIFIERS, "give another name, as my_resnet")
    if SEEDED.fullmatch(text):
        raise ValueError(f"{key}={text}: files of other seeds end like this; give another name, as my_resnet")
    return text


def check_entry(entry: str, key: str) -> str:
    """The name of a classifier as ``classifiers`` and ``controls`` list it, perhaps behind a library.

    Raises:
        ValueError: See :func:`check_classifier`.
    """
    return check_classifier(entry_name(entry), key)


def entry_name(entry: str) -> str:
    """The name of a classifier that ``classifiers`` lists: what its files are called.

    Example:
        >>> [entry_name(entry) for entry in ("lenet5", "timm/resnet18", "module:a.b.Net", "exported:/x/my net.pt2")]
        ['lenet5', 'resnet18', 'Net', 'my_net']
    """
    kind, colon, rest = entry.partition(":")
    if colon and kind == "module":
        return rest.rpartition(".")[2]
    if colon and kind == "exported":
        return re.sub(r"\W+", "_", Path(rest).stem)
    library, slash, name = entry.partition("/")
    return name if slash and library in LIBRARIES else entry


def check_patterns(patterns: Iterable[str], key: str) -> None:
    """Refuse patterns that name anything but studies of ``studies``.

    Raises:
        ValueError: Names the key, the cause and the fix.
    """
    for pattern in patterns:
        checked(
            pattern, key, frozenset(), f"give names or patterns, as {key}=[lr_*]; studies=/path chooses their folder"
        )


def check_folder(path: Any, key: str) -> None:
    """Refuse a folder that is given as empty text, or that a script or a command line could misread.

    Raises:
        ValueError: Names the key, the cause and the fix.
    """
    text = str(path)
    if not text.strip():
        raise ValueError(f"{key}={text!r} is empty: give a folder, as {key}=/path/to/folder")
    if not text.isprintable() or "${" in text:
        raise ValueError(f"{key}={text!r} has characters that paths here cannot have: give a folder without them")


def checked(name: Any, key: str, reserved: frozenset[str], fix: str) -> str:
    """A name as text, or an error that ends with the fix."""
    text = "" if name is None else str(name)
    cause = ""
    if not text or text != text.strip():
        cause = "is empty, or begins or ends with a space"
    elif {"/", "\\"} & set(text):
        cause = "is a path"
    elif text.startswith((".", "-")):
        cause = f"begins with {text[0]!r}"
    elif not text.isprintable() or "${" in text:
        cause = "has characters that names of files cannot have here"
    elif len(text.encode()) > LENGTH:
        cause = f"has more than {LENGTH} bytes"
    elif text.lower() in reserved:
        cause = "is a name that the program uses itself"
    if cause:
        shown = repr(text) if not text or not text.isprintable() or text != text.strip() else text
        raise ValueError(f"{key}={shown[:80]} {cause}: {fix}")
    return text


def check_apart(study: Path, cache: Path, key: str) -> None:
    """Refuse a study that is the folder of the cache, or lies within it: that may be removed.

    Raises:
        ValueError: Names the key.
    """
    folder, other = study.resolve(), cache.resolve()
    if folder == other or other in folder.parents:
        raise ValueError(f"{key}={study.name} would be in cache={cache}, which may be removed: give another name")
