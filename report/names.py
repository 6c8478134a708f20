"""The names under which people read the classifiers and the sources of images of a study."""

from collections.abc import Mapping, Sequence

from stats.names import ORIGINAL, PRETRAINED

IMAGES, START = "originals", "A_S"
CONTROLS = {"second_start": "second start", "extra_training": "extra training"}


def source_titles(titles: Mapping[str, str]) -> dict[str, str]:
    """The name of every source of images: ``originals``, ``A_S``, the controls, ``A_<title>``.

    Args:
        titles: Display name of each classifier.
    """
    return {ORIGINAL: IMAGES, PRETRAINED: START} | CONTROLS | {name: f"A_{title}" for name, title in titles.items()}


def source_title(name: str, titles: Mapping[str, str]) -> str:
    """The name of one source of images; of an unknown one its key, with spaces."""
    return source_titles(titles).get(name, spaced(name))


def classifier_title(name: str, titles: Mapping[str, str]) -> str:
    """The display name of a classifier; of an unknown one its key, with spaces."""
    return titles.get(name, spaced(name))


def spaced(name: object) -> str:
    """A key or a class as words."""
    return str(name).replace("_", " ")


def shortened(name: object, length: int) -> str:
    """A name of at most ``length`` characters, with spaces for underscores."""
    words = spaced(name)
    return words if len(words) <= length else words[: length - 1] + "…"


def order_text(groups: Sequence[Sequence[str]]) -> str:
    """An order in one line: ``a < b = c``."""
    return " < ".join(" = ".join(group) for group in groups)
