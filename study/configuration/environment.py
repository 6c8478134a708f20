"""Values that a configuration takes from the environment: what is recorded of them is the name of the variable."""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import Container, Node, OmegaConf
from omegaconf.resolvers import oc

VALUES: dict[str, str] = {}  # of this process: the name of the variable, by a text that came from it
NUMBER = re.compile(r"(?i)[-+]?[\d._]+(e[-+]?\d+)?|true|false|null|none|")  # settings, not secrets; they stay readable
SHORT = 6  # shorter texts are only replaced where they are the whole value: others could hold them by chance


def read_variable(name: str, *default: Any) -> str | None:
    """Read a variable as OmegaConf's ``oc.env`` does, and note where the text came from."""
    value: str | None = oc.env(name, *default)
    if os.environ.get(name) == value:
        note(value, name)
    return value


def read_decoded(expression: str | None, _parent_: Container, _node_: Node) -> Any:
    """Decode a text as OmegaConf's ``oc.decode`` does; what it holds came from where the text came from."""
    value = oc.decode(expression, _parent_, _node_)
    name = next((name for text, name in VALUES.items() if text == expression), None)
    if name is not None:
        for text in texts(value):
            note(text, name)
    return value


def note(value: Any, name: str) -> None:
    """Note that a text came from a variable, and the forms in which an error could show it."""
    if isinstance(value, str) and not NUMBER.fullmatch(value):
        for form in (value, repr(value)[1:-1]):
            VALUES.update(dict.fromkeys((form, " ".join(form.split()), form[:80]), name))


def texts(tree: Any) -> list[str]:
    """Every text in nested mappings and lists."""
    if OmegaConf.is_config(tree):
        tree = OmegaConf.to_container(tree, resolve=False)
    if isinstance(tree, Mapping):
        return [text for branch in tree.values() for text in texts(branch)]
    if isinstance(tree, list | tuple):
        return [text for branch in tree for text in texts(branch)]
    return [tree] if isinstance(tree, str) else []


def by_name(tree: Any, digests: bool = False) -> Any:
    """Plain values in which text from the environment is replaced by ``${oc.env:NAME}``.

    Args:
        tree: Nested mappings, lists and values.
        digests: Whether 32 bits of the text's digest follow, which tell its values apart.
    """
    if not VALUES:
        return tree
    if isinstance(tree, Mapping):
        return {by_name(key, digests): by_name(branch, digests) for key, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return [by_name(branch, digests) for branch in tree]
    if not isinstance(tree, str):
        return tree
    if tree in VALUES:
        return named(tree, digests)
    long = sorted((text for text in VALUES if len(text) >= SHORT), key=len, reverse=True)
    if not long:
        return tree
    return re.sub("|".join(map(re.escape, long)), lambda match: named(match.group(), digests), tree)


def named(text: str, digest: bool) -> str:
    """The variable that a text came from, perhaps with a digest of the text."""
    name = f"${{oc.env:{VALUES[text]}}}"
    return f"{name} sha256:{hashlib.sha256(text.encode()).hexdigest()[:8]}" if digest else name


def explained_by_name(explain: Callable[[BaseException], str]) -> Callable[[BaseException], str]:
    """The same explanations of errors, without values from the environment."""
    return lambda error: str(by_name(explain(error)))
