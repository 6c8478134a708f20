"""JSON documents that carry a digest of their own content: one changed bit is noticed when they are read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIGEST = "content_sha256"


def with_digest(document: Mapping[str, Any], of: str = "") -> dict[str, Any]:
    """A document and, as its last entry, the SHA-256 of its content, whatever the order of the keys.

    Args:
        document: What JSON can hold.
        of: The name of what it belongs to, which is hashed, too: in the place of another's it is refused.

    >>> with_digest({"images": 3})["content_sha256"][:8]
    '1b1cbcf5'
    """
    content = json.loads(json.dumps({key: value for key, value in document.items() if key != DIGEST}))
    return content | {DIGEST: hashlib.sha256((of + json.dumps(content, sort_keys=True)).encode()).hexdigest()}


def name_in_folder(path: Path) -> str:
    """The name of a file with that of its folder: what a document belongs to, wherever the folder is moved."""
    return f"{path.parent.name}/{path.name}"


def read_checked(path: Path, of: str = "") -> dict[str, Any]:
    """Read a document that :func:`with_digest` made, without its digest.

    Args:
        path: The file.
        of: As it was given to :func:`with_digest`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If its content is not what was written, or it never had a digest; names the file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is no JSON document") from error
    if not isinstance(document, dict) or DIGEST not in document:
        raise ValueError(f"{path} has no digest of its content: it is damaged, or of an older version")
    if with_digest(document, of)[DIGEST] != document[DIGEST]:
        raise ValueError(f"{path} is damaged or was changed after it was written")
    return {key: value for key, value in document.items() if key != DIGEST}
