"""Other programs that this one starts."""

import os
import shutil
from pathlib import Path


def program(name: str) -> str | None:
    """The absolute path of a program; call this when a module is loaded, before a configuration can change ``PATH``.

    Folders of ``PATH`` that are not absolute are left out: they would name another program in every working folder.
    """
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder).is_absolute()]
    return shutil.which(name, path=os.pathsep.join(folders))
