"""A model put to work on this machine: real processes, real ports, a real (tiny) model."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from mlflowkit import ports
from mlflowkit.errors import (
    NoTestImage,
    PortInUse,
    PredictionFailed,
    ServerDied,
    ServerNotReady,
    UnknownTarget,
)
from mlflowkit.ml import services
from mlflowkit.ml.deploy import Deployment, deploy_model, stop_local
from mlflowkit.ml.deploy_local import wrong_answer
from mlflowkit.ml.services import Entry

from .serving import make_model, picture, wait_for


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        name: make_model(folder / name, seed=seed, favourite=name)
        for seed, name in enumerate(("cat", "dog"))
    }


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own; whatever server is left in its book is ended, and nothing else may be."""
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    for book in services.folder().glob("*.json"):
        stop_local(book.stem)
    assert not servers_below(tmp_path)


def servers_below(home: Path) -> list[int]:
    """Every server process that was started with this home, in the book or not."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if alive and "mlflowkit.ml.serve" in line and any(str(home) in a for a in line):
            found.append(process.pid)
    return found


def deploy(model: Path, **options: object) -> Deployment:
    given = {
        "name": "pets",
        "timeout": 90.0,
        "server_args": ("--threads", "1"),
        **options,
    }
    return deploy_model(str(model), "local", **given)  # type: ignore[arg-type]


def answer(deployment: Deployment) -> str:
    headers = {"Content-Type": "image/png"}
    reply = httpx.post(
        f"{deployment.url}/predict",
        content=picture(),
        headers=headers,
        timeout=120,
        trust_env=False,
    )
    return str(reply.json()["class"])


def test_it_returns_when_the_model_has_answered_a_real_image(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "test.png"
    image.write_bytes(picture())
    done = deploy(models["cat"], test_image=image, expected_class="cat")
    assert answer(done) == "cat"
    assert (done.target, done.name, done.model) == ("local", "pets", str(models["cat"]))
    assert done.pid is not None
    assert os.getsid(done.pid) == done.pid
    assert f"answers at {done.url}" in capsys.readouterr().out
    assert services.read("pets").current
    assert stop_local("pets")
    assert not psutil.pid_exists(done.pid)
    assert services.read("pets") == Entry()
    assert not stop_local("pets")


def test_a_redeploy_keeps_the_address_and_no_request_goes_unanswered(
    models: dict[str, Path],
) -> None:
    first = deploy(models["cat"])
    seen: list[str] = []
    failed: list[str] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            try:
                seen.append(answer(first))
            except httpx.HTTPError as exc:
                failed.append(repr(exc))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    second = deploy(models["dog"], test_image=picture(), expected_class="dog")
    wait_for(lambda: seen and seen[-1] == "dog")
    over.set()
    asking.join()
    assert (second.url, answer(second)) == (first.url, "dog")
    assert second.pid != first.pid
    assert not psutil.pid_exists(first.pid or 0)
    # A connection may reach the old server's queue at the very moment it ends.
    assert len(failed) <= 1, failed
    assert seen.index("dog") > 5


def test_a_model_that_answers_wrongly_does_not_take_over(
    models: dict[str, Path],
) -> None:
    first = deploy(models["cat"])
    with pytest.raises(PredictionFailed) as caught:
        deploy(models["dog"], test_image=picture(), expected_class="cat")
    assert "it took an image of 'cat' for 'dog' with probability 1.00" in str(caught.value)
    assert "what was deployed before is untouched" in str(caught.value)
    assert answer(first) == "cat"
    current = services.read("pets").current
    assert current
    assert current.pid == first.pid


def test_a_test_image_that_is_none_fails_the_deployment(
    models: dict[str, Path],
) -> None:
    with pytest.raises(PredictionFailed, match="HTTP 422: the image cannot be read"):
        deploy(models["cat"], test_image=b"no image")
    assert services.read("pets") == Entry()


def test_a_server_that_dies_on_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ServerDied) as caught:
        deploy(tmp_path / "empty")
    assert caught.value.how == "ended with exit code 1"
    assert "the model cannot be loaded: " in caught.value.tail
    assert services.read("pets") == Entry()


def test_a_server_that_is_too_slow_is_stopped(models: dict[str, Path]) -> None:
    with pytest.raises(ServerNotReady, match=r"not ready after 0\.3 s.*timeout="):
        deploy(models["cat"], timeout=0.3)


def test_a_port_in_use_names_the_port_and_who_has_it(models: dict[str, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            deploy(models["cat"], port=port)
    assert f"port {port} on 127.0.0.1 is already in use by " in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)


def test_a_port_that_shares_is_not_taken_from_another_model(
    models: dict[str, Path],
) -> None:
    first = deploy(models["cat"])
    port = int(first.url.rsplit(":", 1)[1])
    with pytest.raises(PortInUse):
        deploy(models["dog"], name="others", port=port)
    assert answer(first) == "cat"


def test_a_given_port_is_used_and_given_on(models: dict[str, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert deploy(models["cat"], port=port).url == f"http://127.0.0.1:{port}"
    assert answer(deploy(models["dog"], port=port)) == "dog"


def test_a_pid_that_is_another_programs_now_is_left_alone(
    models: dict[str, Path],
) -> None:
    done = deploy(models["cat"])
    current = services.read("pets").current
    assert current
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        services.write("pets", Entry(replace(current, pid=other.pid)))
        assert not stop_local("pets")
        assert other.poll() is None
        other.kill()
    services.write("pets", Entry(current))
    assert done.pid == current.pid


def test_a_deployment_that_was_killed_leaves_nothing_for_the_next_one(
    models: dict[str, Path],
) -> None:
    script = (
        "import os\nfrom mlflowkit.ml import deploy_local as d\n"
        "d._try_image = lambda attempt: os.kill(os.getpid(), 9)\n"
        "from mlflowkit.ml.deploy import deploy_model\n"
        f"deploy_model({str(models['cat'])!r}, name='pets')\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = services.read("pets").candidate
    assert left
    assert services.process_of(left)
    done = deploy(models["dog"])
    assert services.process_of(left) is None
    assert answer(done) == "dog"


def test_two_deployments_of_one_name_come_one_after_the_other(
    models: dict[str, Path],
) -> None:
    done: list[Deployment] = []
    threads = [
        threading.Thread(target=lambda m=m: done.append(deploy(models[m])))  # type: ignore[misc]
        for m in ("cat", "dog")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    current = services.read("pets").current
    assert current
    assert current.pid == done[-1].pid
    assert done[0].url == done[1].url
    assert not psutil.pid_exists(done[0].pid or 0)


class Engine:
    """The engine's side of `Services`, as far as a deployment sees it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, argv: list[str], *, env: Mapping[str, str], log: Path
    ) -> int:
        self.told.append(("start", name))
        with log.open("ab") as out:
            self.children[name] = subprocess.Popen(
                argv, env=dict(env), stdout=out, stderr=out
            )
        return self.children[name].pid

    def stop(self, name: str) -> None:
        self.told.append(("stop", name))
        child = self.children.pop(name)
        child.terminate()
        child.wait(120)


def test_inside_a_task_the_engine_starts_and_stops_the_server(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine()
    monkeypatch.setattr(services, "current_services", lambda: engine)
    first = deploy(models["cat"])
    second = deploy(models["dog"])
    assert (first.url, answer(second)) == (second.url, "dog")
    (one, name_1), (two, name_2), (three, name_3) = engine.told
    assert (one, two, three) == ("start", "start", "stop")
    assert name_1 == name_3 != name_2
    assert stop_local("pets")
    assert engine.told[-1] == ("stop", name_2)
    assert engine.children == {}


def test_outside_a_task_there_is_no_engine_to_ask() -> None:
    assert ports.current_services() is None


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (
            200,
            {"class": "a", "probability": 0.6, "probabilities": {"a": 0.6, "b": 0.4}},
            None,
        ),
        (503, {"error": {"message": "busy"}}, "HTTP 503: busy"),
        (
            200,
            {"class": "a"},
            "an answer without class and probabilities: {'class': 'a'}",
        ),
        (
            200,
            {"class": "a", "probability": 1.0, "probabilities": {"a": float("nan")}},
            "probabilities that add up to nan",
        ),
    ],
)
def test_an_answer_is_looked_at_closely(status: int, body: object, why: str | None) -> None:
    assert wrong_answer(status, body, "a") == why


def test_an_unknown_target_is_named(models: dict[str, Path]) -> None:
    with pytest.raises(UnknownTarget, match="Did you mean 'local'"):
        deploy_model(str(models["cat"]), "locale")  # type: ignore[arg-type]


def test_a_test_image_that_is_not_there_is_said_before_anything_starts(
    models: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(NoTestImage, match="No such file"):
        deploy(models["cat"], test_image=str(tmp_path / "gone.png"))


def test_logs_do_not_pile_up(models: dict[str, Path]) -> None:
    for number in range(8):
        file = services.folder() / f"pets.2020010{number}T000000-aaaaaa.log"
        file.write_text("old")
        os.utime(file, (time.time() - 1000 + number,) * 2)
    done = deploy(models["cat"])
    logs = list(services.folder().glob("pets.*.log"))
    assert len(logs) == 6
    assert Path(done.log or "") in logs
