"""Checkpoint files with a digest of their content: a changed bit would change the final weights in silence.

``torch.load`` does not check the checksums of the ZIP archive that ``torch.save`` writes. The digest is the archive's
comment, so the file stays one that ``torch.load`` reads.
"""

import hashlib
import os
from pathlib import Path

MARK = b"sha256:"
LENGTH = len(MARK) + hashlib.sha256().digest_size
NO_COMMENT = b"\0\0"  # the last two bytes of an archive give the length of its comment


def add_digest(path: Path) -> None:
    """Add the digest to a file that ``torch.save`` has written, and wait until it is on the disk.

    Raises:
        ValueError: If the file is no such archive, or has a comment already.
    """
    with path.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(-len(NO_COMMENT), os.SEEK_END)
        if file.read() != NO_COMMENT:
            raise ValueError(f"{path} is no archive of torch.save without a comment")
        file.seek(-len(NO_COMMENT), os.SEEK_END)
        file.write(LENGTH.to_bytes(2, "little") + MARK + digest)
        file.flush()
        os.fsync(file.fileno())


def is_whole(path: Path) -> bool:
    """Whether a file is what :func:`add_digest` left."""
    size = path.stat().st_size - LENGTH - len(NO_COMMENT)
    if size < 0:
        return False
    content = hashlib.sha256()
    with path.open("rb") as file:
        while size and (block := file.read(min(size, 1 << 20))):
            content.update(block)
            size -= len(block)
        ending = file.read()
    content.update(NO_COMMENT)
    return ending == LENGTH.to_bytes(2, "little") + MARK + content.digest()
