"""The home that a command works in."""

from __future__ import annotations

import os
from pathlib import Path

from mlflowkit.settings import home


def the_home() -> Path:
    """The home of the working folder; whatever this process starts works in the same one.

    Raises:
        HomeUnwritable, HomeOnNetwork: it cannot be used.
    """
    folder = home()
    os.environ["MLFLOWKIT_HOME"] = str(folder)
    return folder
