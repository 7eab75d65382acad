"""What can be asked of an engine, whether it is this process or another one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from mlflowkit.core.spec import UNMAPPED, RunId, TaskId, instance_name
from mlflowkit.engine.client import EngineClient
from mlflowkit.engine.process import EngineProcess
from mlflowkit.errors import EngineGone, NotMarked
from mlflowkit.handles.again import Wish
from mlflowkit.ports import RunRequest, Surroundings


class Job(Protocol):
    """Something that makes runs go. Both give the ids of the runs that it is about."""

    def begin(self, engine: EngineProcess) -> list[str]:
        """Have it done by an engine of this process."""
        ...

    def send(self, client: EngineClient) -> list[str]:
        """Have it done by another process."""
        ...


@dataclass(frozen=True, slots=True)
class Submit:
    """A new run."""

    request: RunRequest

    def begin(self, engine: EngineProcess) -> list[str]:
        return [engine.submit(self.request)]

    def send(self, client: EngineClient) -> list[str]:
        answer = client.call("submit", request=msgspec.to_builtins(self.request))
        return [answer["run_id"]]


@dataclass(frozen=True, slots=True)
class Retry:
    """Run again what did not succeed, or what is named (and all below it)."""

    run_id: str
    wish: Wish
    #: Newer code, as `run_request.retry_code` gives it; None keeps the run's own.
    code: dict[str, Any] | None = None

    def begin(self, engine: EngineProcess) -> list[str]:
        newer = None
        if self.code is not None:
            around = msgspec.convert(self.code["surroundings"], Surroundings)
            spec = msgspec.convert(self.code["spec_json"], bytes)
            newer = (self.code["bundle"], spec, around)
        asked, run_id = self.wish.asked(), RunId(self.run_id)
        named, parts = asked.task_ids, asked.parts
        engine.retry(run_id, named, newer, self.wish.resume, asked.alone, parts)
        return [self.run_id]

    def send(self, client: EngineClient) -> list[str]:
        client.call("retry", run_id=self.run_id, code=self.code, **self.wish.arguments())
        return [self.run_id]


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with runs whose engine died."""

    run_ids: tuple[str, ...]

    def begin(self, engine: EngineProcess) -> list[str]:
        for run_id in self.run_ids:
            engine.resume(RunId(run_id))
        return list(self.run_ids)

    def send(self, client: EngineClient) -> list[str]:
        client.call("resume", run_ids=list(self.run_ids))
        return list(self.run_ids)


@dataclass(frozen=True, slots=True)
class Mark:
    """Say how task instances ended; without indexes, all of the task that this changes."""

    run_id: str
    task_id: str
    map_indexes: tuple[int, ...]
    state: str

    def begin(self, engine: EngineProcess) -> list[str]:
        where = TaskId(self.task_id), self.map_indexes
        return self._told(engine.mark(RunId(self.run_id), *where, self.state))

    def send(self, client: EngineClient) -> list[str]:
        indexes = list(self.map_indexes)
        where: dict[str, Any] = {"task_id": self.task_id, "map_indexes": indexes}
        said = client.call("mark", run_id=self.run_id, state=self.state, **where)
        return self._told(said)

    def _told(self, why_not: str) -> list[str]:
        if why_not:
            one = len(self.map_indexes) == 1
            name = instance_name(self.task_id, self.map_indexes[0] if one else UNMAPPED)
            raise NotMarked(self.run_id, name, self.state, why_not)
        return [self.run_id]


@dataclass(frozen=True, slots=True)
class CancelInstances:
    """Stop task instances of a run that goes on; without indexes, all that have started."""

    run_id: str
    task_id: str
    map_indexes: tuple[int, ...]

    def send(self, client: EngineClient) -> str:
        """Why nothing was stopped; empty if it was."""
        where: dict[str, Any] = {"task_id": self.task_id}
        where["map_indexes"] = list(self.map_indexes)
        why: str = client.call("cancel_instances", run_id=self.run_id, **where)
        return why


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a run that has not ended."""

    run_id: str

    def begin(self, engine: EngineProcess) -> list[str]:
        engine.resume(RunId(self.run_id))
        engine.cancel(RunId(self.run_id))
        return [self.run_id]

    def send(self, client: EngineClient) -> list[str]:
        with suppress(EngineGone):  # whoever watches the run sees whether it has ended
            client.call("resume", run_ids=[self.run_id])
            client.call("cancel", run_id=self.run_id)
        return [self.run_id]
