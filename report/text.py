"""Names that people choose, made safe to show: folders, classes, classifiers, layers, files, studies.

HTML and figures get such a name through one of the functions here and in no other way. The template engine calls
:func:`visible` on every text and escapes it (``report/page.py``); each text of a figure that holds a name goes through
:func:`figure_text` or ``report.figures.style.typeset`` once.
"""

import functools
import hashlib
import os
import re
from urllib.parse import quote

from matplotlib.font_manager import FontProperties, findfont, get_font

LONGEST = 40  # letters of a name in a figure: a figure is as wide as its text
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
BREAKS = re.compile("[\t\n\x0b\x0c\r\x85\u2028\u2029]")
# control characters, marks that turn the direction of the text around, and halves of characters, which are what Python
# makes of file names that are not UTF-8
INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PLAIN_FILE = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def visible(name: object) -> str:
    r"""A name as one line of text without characters that nobody sees or that reorder the text around it.

    Args:
        name: Any text.

    Returns:
        The name with a space for each line break and tab, and U+FFFD for each further control character, mark of text
        direction, and byte that is not UTF-8.

    Example:
        >>> visible("two\nlines"), visible("\u202egnp.exe")
        ('two lines', '�gnp.exe')
    """
    return INVISIBLE.sub(REPLACEMENT, BREAKS.sub(" ", str(name)))


def figure_text(name: object, longest: int = LONGEST) -> str:
    r"""A name as text of a figure: shown as it is, never read as mathematics.

    Args:
        name: Any text; not a result of this function.
        longest: Letters, beyond which the end is cut off.

    Returns:
        :func:`visible`, with U+FFFD for characters that the font lacks, and ``\$`` for each ``$``.

    Example:
        >>> figure_text(r"$\frac{$")
        '\\$\\frac{\\$'
    """
    letters = characters_of_font()
    text = "".join(letter if ord(letter) in letters else REPLACEMENT for letter in visible(name))
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    hidden = " " if cut.startswith("_") else ""  # matplotlib leaves labels that begin with _ out of legends
    return hidden + cut.replace("$", r"\$")


@functools.cache
def characters_of_font() -> frozenset[int]:
    """The characters that the font of the figures has."""
    return frozenset(get_font(findfont(FontProperties(family=["sans-serif"]))).get_charmap())


def file_key(name: str) -> str:
    """A name as a part of a file name, of an anchor and of an address: two names never have the same.

    Args:
        name: Any text.

    Returns:
        The name itself if it consists of at most 100 letters of ``A-Za-z0-9_.-``; else these letters, with ``_`` for
        each other one, and a hash.

    Example:
        >>> file_key("vgg_16"), file_key("vgg 16")
        ('vgg_16', 'vgg_16-df56c1dc')
    """
    if PLAIN_FILE.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name[:60])}-{digest}"


def address(path: str) -> str:
    """A relative path as an address of a link, byte for byte.

    Example:
        >>> address("../a b/50%.csv")
        '../a%20b/50%25.csv'
    """
    quoted = quote(os.fsencode(path))
    return quoted if quoted.startswith(("../", "./")) else f"./{quoted}"  # so that no name is read as a scheme
