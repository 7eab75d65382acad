"""A pod against kmock's server, which knows nothing of our stories: the requests are the API's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from kmock import KubernetesEmulator, Request, Server, action, resource

from mlflowkit import DAG
from mlflowkit.operators.kubernetes import KubernetesPodOperator
from tests.kubernetes_server import kubeconfig

PODS = resource("", "v1", "pods")


@attrs.define(kw_only=True)
class Emulator(KubernetesEmulator):
    """kmock's store of objects; a pod that is read has ended by then."""

    seen: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.resources[PODS] = {}

    async def _handle(self, request: Request) -> object:
        verb = request.action.value if request.action else "?"
        self.seen.append(verb)
        key = (PODS, request.namespace, request.name)
        if request.action == action.FETCH and key in self.objects:
            ended = {"name": "base", "state": {"terminated": {"exitCode": 0}}}
            status = {"phase": "Succeeded", "containerStatuses": [ended]}
            self.objects[key] = {**self.objects[key].raw, "status": status}
        return await super()._handle(request)


@contextmanager
def running(emulator: Emulator) -> Iterator[str]:
    started, ended, found = threading.Event(), threading.Event(), list[str]()

    async def live() -> None:
        async with emulator, Server(emulator) as server:
            found.append(str(server.url).rstrip("/"))
            started.set()
            while not ended.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(live()), daemon=True)
    thread.start()
    assert started.wait(120)
    try:
        yield found[0]
    finally:
        ended.set()
        thread.join(10)


def test_a_pod_is_created_read_and_deleted(tmp_path: Path) -> None:
    emulator = Emulator()
    with running(emulator) as url:
        with DAG("train") as dag:
            KubernetesPodOperator(
                task_id="serve",
                image="serve:1",
                config_file=str(kubeconfig(tmp_path, url)),
                get_logs=False,
            )
        assert dag.test().states() == {"serve": "success"}
        assert emulator.seen == ["LIST", "CREATE", "FETCH", "FETCH", "DELETE"]
        assert [o.deleted for key, o in emulator.objects.items() if key[0] == PODS] == [
            True
        ]
