"""The templates of an engine: one for each bundle and surroundings, a few kept warm when idle."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

from mlflowkit.executors.templates import Owner, TemplateProcess
from mlflowkit.ports import Loop, Surroundings

#: Templates that are kept warm though nothing runs in them.
WARM_TEMPLATES = 3
#: Seconds that all of them get to be dead.
CLOSE_SECONDS = 15.0

#: The bundle, and the surroundings as bytes.
TemplateKey = tuple[str, bytes]


class TemplatePool:
    """Starts templates, and retires those that have been idle longest."""

    def __init__(self, loop: Loop, owner: Owner, folder: Path, engine_id: str) -> None:
        self._loop, self._owner, self._folder = loop, owner, folder
        self._engine_id = engine_id
        self._templates: OrderedDict[TemplateKey, TemplateProcess] = OrderedDict()
        self._dying: list[TemplateProcess] = []
        self._count = 0

    def __iter__(self) -> Iterator[TemplateProcess]:
        """Those that take orders, the one that was used last at the end."""
        return iter(self._templates.values())

    def get(
        self,
        key: TemplateKey,
        around: Surroundings,
        wanted: Callable[[], set[TemplateKey]],
    ) -> TemplateProcess:
        """The template of a bundle, which is started if need be.

        Args:
            wanted: The templates that orders wait for: these are not retired.

        Raises:
            OSError: it cannot be started.
        """
        template = self._templates.get(key)
        if template is None or template.retired:
            template = self._start(key, around)
            self._templates[key] = template
            self._retire_old(wanted())
        self._templates.move_to_end(key)
        return template

    def _start(self, key: TemplateKey, around: Surroundings) -> TemplateProcess:
        self._count += 1
        folder = self._folder / f"template-{self._count}"
        return TemplateProcess(
            self._loop, self._owner, folder, key[0], around, self._engine_id
        )

    def give_up(self, template: TemplateProcess) -> TemplateKey | None:
        """It takes no more orders. Returns its key; None if that was known already."""
        key = next((k for k, t in self._templates.items() if t is template), None)
        if key is not None:
            del self._templates[key]
            self._dying.append(template)
        return key

    def _retire_old(self, wanted: set[TemplateKey]) -> None:
        idle = [
            key
            for key, template in self._templates.items()
            if not any(slot.orders for slot in template.slots.values())
        ]
        for key in idle[: max(len(idle) - WARM_TEMPLATES, 0)]:
            if key not in wanted:
                template = self._templates.pop(key)
                template.retire()
                self._dying.append(template)
        self._dying = [t for t in self._dying if not t.all_dead()]

    def close(self) -> None:
        """End them all, and wait for it."""
        every = [*self._templates.values(), *self._dying]
        for template in every:
            template.kill()
        deadline = time.monotonic() + CLOSE_SECONDS
        for template in every:
            template.bury(deadline)
        self._templates.clear()
