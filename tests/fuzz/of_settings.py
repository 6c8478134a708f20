"""Settings: random values for all keys, checked as the program checks them before any work."""

import dataclasses
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import run
from study.settings.common import Common
from study.settings.fields import Settings, settings_type
from tasks.registry import settings_classes
from tests.fuzz.engine import Hang, in_time, quiet

ODD = (
    "null", "true", "no", "0", "1", "-1", "1.5", "1e400", "-1e400", "nan", "inf", "1e18", "99999999999999999999",
    "[]", "[1]", "[a,b]", "[[1,2],[3]]", "[null]", "[1,1]", "[nan]", "{}", "{a:1}", "{a:{b:[c]}}", "''", "' '",
    "abc", "'a b'", "'ä'", "'../..'", "'/'", "'a/b'", "'${study}'", "'${nothing}'", "'${a'", "???", "'0x10'", "1_000",
    "1e-320", "'\\n'", "smoke", "cpu", "[smoke]",
)  # fmt: skip
PLAIN = {int: (int,), float: (int, float), bool: (bool,), str: (str,)}


def keys(node: type[Settings], name: str) -> Iterator[tuple[str, Any]]:
    """Every key of a node and of nodes within it, dotted, with the type of its values."""
    for field in dataclasses.fields(node):  # type: ignore[arg-type]
        key, inner = f"{name}.{field.name}" if name else field.name, settings_type(field.type)
        yield key, field.type
        if inner is not None:
            yield from keys(inner, key)


class RandomSettings:
    """Random overrides of the whole configuration, one to three at a time."""

    def __init__(self, finished: Path, folder: Path) -> None:
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(run.CONF), version_base="1.3"):
            self.base = hydra.compose("config", overrides=[f"studies={folder}"])
        nodes: dict[str, type[Settings]] = {"": Common, **settings_classes()}
        self.keys = [pair for name, node in nodes.items() for pair in keys(node, name)]
        self.parser = OverridesParser.create()

    def start(self) -> None:
        """The configuration is right before anything is changed."""
        run.check_settings(self.base)

    def once(self, draw: random.Random, alter: Any) -> tuple[str, str]:
        """One try: its outcome, and the overrides."""
        chosen = [(*draw.choice(self.keys), self.value(draw)) for _ in range(draw.choice((1, 1, 2, 3)))]
        words = " ".join(f"{key}={value}" for key, _, value in chosen)
        try:
            with quiet(), in_time():
                changed = self.changed([(key, value) for key, _, value in chosen])
                run.check_settings(changed)
                OmegaConf.resolve(changed)
        except Hang:
            return "HANG", words
        except Exception as error:
            line = run.EXPLAIN(error)
            return ("refused in one line", words) if line else ("TRACEBACK", f"{words}: {error!r}")
        wrong = [key for key, kind, _ in chosen if not fits(OmegaConf.select(changed, key), kind)]
        return ("ACCEPTED", f"{words}: {', '.join(wrong)}") if wrong else ("harmless", words)

    def value(self, draw: random.Random) -> str:
        """A value as it is written on the command line."""
        kind = draw.randrange(4)
        if kind == 0:
            return str(draw.randint(-(10 ** draw.randint(0, 12)), 10 ** draw.randint(0, 12)))
        if kind == 1:
            return repr(draw.uniform(-2, 2) * 10 ** draw.randint(-12, 12))
        return draw.choice(ODD)

    def changed(self, chosen: list[tuple[str, str]]) -> DictConfig:
        """The configuration with overrides, as Hydra merges them."""
        changed = self.base.copy()
        for key, value in chosen:
            [override] = self.parser.parse_overrides([f"{key}={value}"])
            try:
                OmegaConf.update(changed, key, override.value(), merge=True)
            except OmegaConfBaseException as error:  # Hydra says so in these words, and names the cause
                message = f"Error merging override {key}={value}"
                raise hydra.errors.ConfigCompositionException(message) from error
        return changed


def fits(value: Any, kind: Any) -> bool:
    """Whether an accepted value is of the type of its key, and finite."""
    if get_origin(kind) in (list, dict):
        return True  # the tests of settings look into them
    options = get_args(kind) or (kind,)
    if value is None:
        return type(None) in options or kind is Any
    plain = [PLAIN[option] for option in options if option in PLAIN]
    if len(plain) < len([option for option in options if option is not type(None)]):
        return True  # as above
    return any(isinstance(value, types) for types in plain) and not (
        isinstance(value, float) and not math.isfinite(value)
    )


SETTINGS: dict[str, Any] = {"settings": RandomSettings}
