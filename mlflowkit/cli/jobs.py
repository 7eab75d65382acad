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
    """Try again what did not succeed, or these tasks and all below them."""

    run_id: str
    task_ids: tuple[str, ...] = ()
    #: Newer code, as `run_request.retry_code` gives it; None keeps the run's own.
    code: dict[str, Any] | None = None
    #: "cell": notebooks go on from the failed cell.
    resume: str = ""

    def begin(self, engine: EngineProcess) -> list[str]:
        newer = None
        if self.code is not None:
            around = msgspec.convert(self.code["surroundings"], Surroundings)
            spec = msgspec.convert(self.code["spec_json"], bytes)
            newer = (self.code["bundle"], spec, around)
        task_ids = tuple(TaskId(t) for t in self.task_ids)
        engine.retry(RunId(self.run_id), task_ids, newer, self.resume)
        return [self.run_id]

    def send(self, client: EngineClient) -> list[str]:
        task_ids = list(self.task_ids)
        wish: dict[str, Any] = {"task_ids": task_ids, "code": self.code}
        wish["resume"] = self.resume
        client.call("retry", run_id=self.run_id, **wish)
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
    """Say how a task instance ended; without an index, all of its task that this changes."""

    run_id: str
    task_id: str
    map_index: int | None
    state: str

    def begin(self, engine: EngineProcess) -> list[str]:
        where = TaskId(self.task_id), self.map_index
        return self._told(engine.mark(RunId(self.run_id), *where, self.state))

    def send(self, client: EngineClient) -> list[str]:
        where: dict[str, Any] = {"task_id": self.task_id, "map_index": self.map_index}
        said = client.call("mark", run_id=self.run_id, state=self.state, **where)
        return self._told(said)

    def _told(self, why_not: str) -> list[str]:
        if why_not:
            index = UNMAPPED if self.map_index is None else self.map_index
            name = instance_name(self.task_id, index)
            raise NotMarked(self.run_id, name, self.state, why_not)
        return [self.run_id]


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
