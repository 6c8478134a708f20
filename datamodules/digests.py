"""JSON documents that carry a digest of their own content: one changed bit is noticed when they are read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIGEST = "content_sha256"


def with_digest(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document and, as its last entry, the SHA-256 of its content, whatever the order of the keys.

    >>> with_digest({"images": 3})["content_sha256"][:8]
    '1b1cbcf5'
    """
    content = json.loads(json.dumps({key: value for key, value in document.items() if key != DIGEST}))
    return content | {DIGEST: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def read_checked(path: Path) -> dict[str, Any]:
    """Read a document that :func:`with_digest` made, without its digest.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If its content is not what was written, or it never had a digest.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path} is damaged") from error
    if not isinstance(document, dict) or DIGEST not in document:
        raise ValueError(f"{path} has no digest of its content: it is damaged, or of an older version")
    if with_digest(document)[DIGEST] != document[DIGEST]:
        raise ValueError(f"{path} is damaged or was changed after it was written")
    return {key: value for key, value in document.items() if key != DIGEST}
