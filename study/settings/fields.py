"""Fields of settings: their default, their range, and the line of help that ``python run.py task=<t> --help`` prints.

OmegaConf checks names and types when the configuration is composed; what it cannot know, ranges and choices, is checked
by :func:`check_node` directly afterwards. Nothing here imports PyTorch, so that the help page is quick.
"""

import copy
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


class Settings:
    """Base of all settings; a subclass is a dataclass in which every field is a :func:`setting`."""

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Refuse values that do not fit each other.

        Args:
            node: The values, each of which is right by itself.
            key: The node's name, for the error.

        Raises:
            ValueError: Names key, value and what is expected.
        """


def setting(
    default: Any,
    about: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[Any] | None = None,
    unique: bool = False,
    least: int = 0,
) -> Any:
    """Define a field of settings.

    Args:
        default: Its value where nothing else is given; ``dataclasses.MISSING`` if it must be given.
        about: One line of help.
        low: Smallest value that is allowed (``>=``); this and the next three also hold for each number in a list or
            mapping.
        high: Largest value that is allowed (``<=``).
        above: Values must be greater (``>``).
        below: Values must be less (``<``).
        choices: The values that are allowed.
        unique: Whether the elements of a list must differ.
        least: Fewest elements of a list or mapping.
    """
    checks = {"low": low, "high": high, "above": above, "below": below, "choices": choices, "unique": unique}
    metadata = {"about": about, "least": least} | checks
    if default is dataclasses.MISSING or isinstance(default, int | float | str | bool | None):
        return dataclasses.field(default="???" if default is dataclasses.MISSING else default, metadata=metadata)
    return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)


def check_node(node: Any, settings: type[Settings], key: str) -> None:
    """Refuse a node of the configuration that has a wrong value.

    Args:
        node: The node.
        settings: Its dataclass.
        key: Its dotted name; empty for the top level.

    Raises:
        ValueError: Names the key, its value and what is expected.
    """
    if not isinstance(node, Mapping | DictConfig):
        raise ValueError(f"{key}={node}: a group of settings; give one of them, as {key}.{_names(settings)[0]}=…")
    if key:
        check_names(node, _names(settings), key)
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        name = f"{key}.{field.name}" if key else field.name
        if OmegaConf.is_missing(node, field.name):
            raise ValueError(f"{name} is not set: give {expected(field)}")
        value = _plain(node, field.name)
        inner = settings_type(field.type)
        if inner is not None and value is not None:
            check_node(node[field.name], inner, name)
        elif not _is_right(value, field):
            raise ValueError(f"{name}={_shown(value)}: give {expected(field)}")
    settings.check(node, key)


def check_names(node: Any, known: Sequence[str], key: str = "") -> None:
    """Refuse a key that nothing reads: a misspelt one would change nothing, in silence.

    Args:
        node: A node of the configuration.
        known: The keys that it may have.
        key: Its dotted name; empty for the top level.

    Raises:
        ValueError: Names the key, and those most like it.
    """
    for name in map(str, node):
        if name not in known:
            near = difflib.get_close_matches(name, known) or known
            raise ValueError(f"there is no key {key + '.' if key else ''}{name}; did you mean {', '.join(near)}?")


def expected(field: "dataclasses.Field[Any]") -> str:
    """What a value of a field must be, in words."""
    kinds, optional = _kinds(field.type)
    words = " or ".join(dict.fromkeys(_words(kind, field.metadata) for kind in kinds)) or "a value"
    if field.metadata["least"]:
        words += f", {field.metadata['least']} or more of them"
    if field.metadata["unique"]:
        words += ", each once"
    return words + (", or null" if optional else "")


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """The default of a field."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _names(settings: type[Settings]) -> list[str]:
    return [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]


def _plain(node: Any, name: str) -> Any:
    value = node[name]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)[:80]


def _kinds(annotation: Any) -> tuple[list[Any], bool]:
    """The types of an annotation without ``None``, and whether ``None`` is one of them."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        arguments = typing.get_args(annotation)
        return [kind for kind in arguments if kind is not type(None)], type(None) in arguments
    return ([] if annotation is Any else [annotation]), annotation is Any


def settings_type(annotation: Any) -> type[Settings] | None:
    """The settings that an annotation names, if it names some."""
    for kind in _kinds(annotation)[0]:
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None


def _words(kind: Any, metadata: Mapping[str, Any]) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if metadata["choices"] is not None:
        named = " or ".join(map(str, metadata["choices"]))
        return f"a list of {named}" if origin is list else named
    if origin is list:
        return f"a list, each element {_words(arguments[0], metadata)}" if arguments[0] is not Any else "a list"
    if origin is dict:
        return f"a mapping, each value {_words(arguments[1], metadata)}" if arguments[1] is not Any else "a mapping"
    if kind in (int, float):
        return f"a {WORDS[kind]}{_range(metadata)}"
    return WORDS.get(kind, "a group of settings")


def _range(metadata: Mapping[str, Any]) -> str:
    parts = [
        f"{word} {metadata[name]:g}"
        for name, word in (("low", "from"), ("above", "above"), ("high", "to"), ("below", "below"))
        if metadata[name] is not None
    ]
    return f" {' '.join(parts)}" + (" on" if metadata["low"] is not None and len(parts) == 1 else "") if parts else ""


def _is_right(value: Any, field: "dataclasses.Field[Any]") -> bool:
    kinds, optional = _kinds(field.type)
    if value is None:
        return optional
    metadata = field.metadata
    if kinds and not any(_is_of(value, kind) for kind in kinds):
        return False
    if isinstance(value, list | tuple):
        if len(value) < metadata["least"] or (metadata["unique"] and len(set(map(str, value))) < len(value)):
            return False
        return all(_in_range(element, metadata) for element in value)
    if isinstance(value, Mapping):
        return len(value) >= metadata["least"] and all(_in_range(element, metadata) for element in value.values())
    return _in_range(value, metadata)


def _is_of(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is list:
        return isinstance(value, list | tuple) and all(
            arguments[0] is Any or _is_of(one, arguments[0]) for one in value
        )
    if origin is dict:
        whole = isinstance(value, Mapping)
        return whole and all(arguments[1] is Any or _is_of(one, arguments[1]) for one in value.values())
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin)


def _in_range(value: Any, metadata: Mapping[str, Any]) -> bool:
    if isinstance(value, list | tuple):
        return all(_in_range(element, metadata) for element in value)
    if metadata["choices"] is not None:
        return value in metadata["choices"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    if not math.isfinite(value):
        return False
    low, high, above, below = (metadata[name] for name in ("low", "high", "above", "below"))
    return not (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )


def resolved(node: Any, settings: type[Settings], key: str) -> DictConfig:
    """A node that no schema has checked yet, with the defaults of the keys that it does not set.

    Raises:
        ValueError: If a key is unknown, has a wrong value or must be given; names it and what is expected.
    """
    if not isinstance(node, Mapping | DictConfig):
        raise ValueError(f"{key}={node}: give {', '.join(_names(settings))} as {{{_names(settings)[0]}: …}}")
    check_names(node, _names(settings), key)
    defaults = OmegaConf.structured(settings)
    try:
        complete: Any = OmegaConf.merge(defaults, node)
    except OmegaConfBaseException:  # a wrong type: check_node below names the key and what is expected
        complete = OmegaConf.merge(OmegaConf.to_container(defaults), node)
    check_node(complete, settings, key)
    return complete
