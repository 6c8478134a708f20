"""The word for the share of right predictions: accuracy, or, in studies with decisions as labels, retention.

Templates are written with the word accuracy; where a study has decisions, their text, never a user's names, is read
with retention instead (:class:`Measure`). Figures ask :func:`measure`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from stats.names import ACCURACY, RETENTION

_MEASURE = ContextVar("measure", default=ACCURACY)
WORDS = {"accuracy": RETENTION, "Accuracy": RETENTION.capitalize()}
PATTERN = re.compile("|".join(rf"\b{word}\b" for word in WORDS))
FIGURES = ("accuracy", "intervals_accuracy")  # named after what they show
NAME = re.compile(r"[a-z0-9_]*")  # of a figure, a key or an anchor


def measure() -> str:
    """The word for the share of right predictions, in the study that is being shown."""
    return _MEASURE.get()


@contextmanager
def words_of(word: str) -> Iterator[None]:
    """Show a study that measures accuracy, or retention, in its words."""
    before = _MEASURE.set(word)
    try:
        yield
    finally:
        _MEASURE.reset(before)


def in_words(text: str) -> str:
    """A text of the project, in the words of the study that is being shown."""
    if measure() == ACCURACY:
        return text
    return text.replace("_accuracy", "_retention") if text in FIGURES[1:] else PATTERN.sub(word_for, text)


def word_for(found: re.Match[str]) -> str:
    """The word that stands for another."""
    return WORDS[found.group()]


class Measure(Extension):
    """Reads templates in the words of the study; the one on decisions explains both words."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Replace the words in the text of a template and in its captions; not in names of figures and keys."""
        kept = stream.name is not None and stream.name.endswith("decisions.html.j2")  # it explains both words
        for token in stream:
            text = token.type == "data" or (token.type == "string" and not NAME.fullmatch(str(token.value)))
            figure = token.type == "string" and token.value in FIGURES
            yield (
                Token(token.lineno, token.type, in_words(str(token.value))) if (text or figure) and not kept else token
            )
