from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """One terminal, and one home, for the whole story."""
    made = Terminal(Path(tmp_path_factory.mktemp("demo")))
    yield made
    made.close()
