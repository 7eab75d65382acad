"""The pools of a home. How they limit what starts, `core.offers` works out."""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlflowkit.store.database import Database
from mlflowkit.store.pools import get_pools

#: People change pools seldom: the store is asked at most so often.
LOOK_SECONDS = 1.0


class Pools:
    """The pools of a home, as the store had them a moment ago."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Mapping[str, int] = {}
        self._looked = -LOOK_SECONDS

    def slots(self) -> Mapping[str, int]:
        """All pools with their slots."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            with self._database.reading() as tx:
                self._known = get_pools(tx)
            self._looked = time.monotonic()
        return self._known
