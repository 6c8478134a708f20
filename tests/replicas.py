"""A register of slow, literal versions: an equation as its paper has it, in loops or by another library.

What must have one is listed here, by enumeration or introspection: a new attack, term or update without a literal
version fails ``tests/test_replicas.py``.
"""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import methods.concepts.hals
import methods.layer_features.regularizers
import methods.layer_features.schedules
from lightning_modules.optimization import SCHEDULES
from lightning_modules.rate_weight import RateWeight
from lightning_modules.signal_autoencoder import SignalAutoencoder
from methods.band_tolerance.fit import BandFit
from methods.class_patterns.search_module import PatternSearch, SignDescent
from networks.attacks import ATTACKS

Literally = TypeVar("Literally", bound=Callable[..., Any])
REPLICAS: dict[str, Callable[..., Any]] = {}


def replicates(*originals: Callable[..., Any] | str) -> Callable[[Literally], Literally]:
    """Register a literal version, or the test that writes it out, of functions, of classes, or of named options.

    Args:
        *originals: Functions or classes; or names as in :func:`must_be_replicated`, such as ``schedule/plateau``.
    """

    def register(literally: Literally) -> Literally:
        REPLICAS.update(dict.fromkeys(map(key, originals), literally))
        return literally

    return register


def key(original: Callable[..., Any] | str) -> str:
    """The name under which an original is registered."""
    return original if isinstance(original, str) else f"{original.__module__}.{original.__qualname__}"


def must_be_replicated() -> set[str]:
    """The names of everything that needs a literal version."""
    modules = (methods.concepts.hals, methods.layer_features.regularizers, methods.layer_features.schedules)
    functions = [function for module in modules for function in public_functions(module)]
    options = inspect.signature(SignalAutoencoder.__init__).parameters.values()
    return {
        *map(key, [*ATTACKS.values(), RateWeight, BandFit, PatternSearch, SignDescent, *functions]),
        *(f"schedule/{name}" for name in SCHEDULES),
        *(f"objective/{option.name}" for option in options if option.kind is option.KEYWORD_ONLY),
    }


def public_functions(module: ModuleType) -> list[Callable[..., Any]]:
    """The functions that a module defines for others."""
    functions = inspect.getmembers(module, inspect.isfunction)
    return [each for name, each in functions if each.__module__ == module.__name__ and not name.startswith("_")]
