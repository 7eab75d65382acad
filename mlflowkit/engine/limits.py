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

    def is_time(self) -> bool:
        """Whether the store may be asked again."""
        return time.monotonic() - self._looked >= LOOK_SECONDS

    def changed(self) -> bool:
        """Whether they are no longer as they were. Asks the store, if it is time."""
        before = self._known
        return self.slots() != before

    def slots(self) -> Mapping[str, int]:
        """All pools with their slots."""
        if self.is_time():
            with self._database.reading() as tx:
                self._known = get_pools(tx)
            self._looked = time.monotonic()
        return self._known
