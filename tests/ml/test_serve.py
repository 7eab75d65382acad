"""The model server: a real process, real HTTP, a real (tiny) model."""

from __future__ import annotations

import io
import json
import math
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from mlflowkit.ml.serve import EXIT_LOAD, EXIT_PORT, EXIT_SHUT
from mlflowkit.ml.sockets import url_of

from .serving import CLASSES, Server, make_model, picture, serving, wait_for

MAX_BYTES = 200_000
MAX_PIXELS = 250_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "digits")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Server]:
    limits = ("--max-bytes", str(MAX_BYTES), "--max-pixels", str(MAX_PIXELS))
    with serving(
        tmp_path_factory.mktemp("server"), model, "--name", "digits", *limits
    ) as it:
        yield it


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message"}
    return answer.status_code, answer.json()["error"]["code"]


def test_an_image_is_answered_with_a_class_and_all_probabilities(
    server: Server,
) -> None:
    answer = server.predict(picture())
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"class", "probability", "probabilities", "model"}
    assert set(body["probabilities"]) == set(CLASSES)
    assert math.isclose(sum(body["probabilities"].values()), 1.0, abs_tol=1e-9)
    assert body["probability"] == max(body["probabilities"].values())
    assert body["probabilities"][body["class"]] == body["probability"]
    assert body["model"] == server.get("/readyz").json()["model"]


def test_serving_sees_the_pixels_that_training_saw(server: Server, model: Path) -> None:
    import torch

    from mlflowkit.ml.decode import decode_square
    from mlflowkit.ml.model import read_model
    from mlflowkit.ml.resnet import build_resnet

    image = picture(50, 70)
    card, weights = read_model(model)
    net = build_resnet(card.arch, len(card.classes))
    net.load_state_dict(weights)
    net.eval()
    pixels = (
        torch.tensor(decode_square(image, card.image_size, name="x")).permute(2, 0, 1) / 255
    )
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (card.mean, card.std))
    with torch.inference_mode():
        wanted = net(((pixels - mean) / std).unsqueeze(0)).softmax(1)[0].tolist()
    found = server.predict(image).json()["probabilities"]
    assert list(found.values()) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGBA"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("GIF", "P"),
        ("WEBP", "RGB"),
        ("BMP", "L"),
    ],
)
def test_common_formats_are_taken(server: Server, kind: str, mode: str) -> None:
    answer = server.predict(picture(kind=kind, mode=mode), f"image/{kind.lower()}")
    assert answer.status_code == 200, answer.text


def test_a_form_with_a_file_gives_the_same_answer(server: Server) -> None:
    image = picture()
    form = httpx.post(
        server.url + "/predict",
        files={"file": ("a.png", image, "image/png")},
        trust_env=False,
    )
    assert form.json() == server.predict(image).json()
    assert server.predict(image, "application/octet-stream").json() == form.json()


def test_an_image_in_chunks_is_taken(server: Server) -> None:
    image = picture()
    chunks = (image[i : i + 100] for i in range(0, len(image), 100))
    headers = {"Content-Type": "image/png"}
    answer = httpx.post(
        server.url + "/predict", content=chunks, headers=headers, trust_env=False
    )
    assert answer.json() == server.predict(image).json()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not an image",
        picture()[:100],
        picture(kind="JPEG")[:-400],
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=["empty", "text", "cut", "cut jpeg", "header only"],
)
def test_a_broken_image_is_422_and_the_server_lives_on(server: Server, body: bytes) -> None:
    assert problem(server.predict(body)) == (422, "broken_image")
    assert server.predict(picture()).status_code == 200


def test_a_form_without_the_file_is_422(server: Server) -> None:
    url = server.url + "/predict"
    other = httpx.post(url, files={"picture": picture()}, trust_env=False)
    assert problem(other) == (422, "no_file")
    text = httpx.post(url, files={"a": b"x"}, data={"file": "text"}, trust_env=False)
    assert problem(text) == (422, "no_file")
    broken = server.predict(b"--x\r\nnonsense", "multipart/form-data; boundary=x")
    assert problem(broken)[0] == 422


def test_another_media_type_says_how_to_send_an_image(server: Server) -> None:
    answer = server.predict(picture(), "application/x-www-form-urlencoded")
    assert problem(answer) == (415, "unsupported_media_type")
    assert "Content-Type: image/png" in answer.json()["error"]["message"]


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 30_000_000])
def test_too_large_a_body_is_413_by_its_header(server: Server, size: int) -> None:
    assert problem(server.predict(b"\0" * size)) == (413, "body_too_large")


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=x"])
def test_too_large_a_body_in_chunks_is_413_too(server: Server, kind: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b"\0" * 10_000

    headers = {"Content-Type": kind}
    answer = httpx.post(
        server.url + "/predict", content=chunks(), headers=headers, trust_env=False
    )
    assert problem(answer) == (413, "body_too_large")


def test_a_client_that_asks_before_sending_is_refused_at_once(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as sock:
        sock.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert sock.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_small_file_of_many_pixels_is_413_and_is_not_decoded(server: Server) -> None:
    bomb = picture(600, 600, mode="1")
    assert len(bomb) < MAX_BYTES
    assert problem(server.predict(bomb)) == (413, "too_many_pixels")
    huge = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(huge, "PNG")
    assert problem(server.predict(huge.getvalue())) == (413, "too_many_pixels")


def test_unknown_paths_and_methods_are_told_in_json(server: Server) -> None:
    assert problem(server.get("/nothing")) == (404, "not_found")
    wrong = server.get("/predict")
    assert problem(wrong) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


def test_metrics_count_by_path_and_status(server: Server) -> None:
    def counts() -> dict[str, float]:
        lines = server.get("/metrics").text.splitlines()
        return {k: float(v) for k, v in (x.rsplit(" ", 1) for x in lines if x[0] != "#")}

    before = counts()
    server.predict(picture())
    server.predict(b"broken")
    server.get("/a/made/up/path")
    after = counts()
    grown = {k: v - before.get(k, 0.0) for k, v in after.items() if v != before.get(k, 0.0)}
    assert grown['mlflowkit_requests_total{path="/predict",status="200"}'] == 1
    assert grown['mlflowkit_requests_total{path="/predict",status="422"}'] == 1
    assert grown['mlflowkit_requests_total{path="other",status="404"}'] == 1
    assert grown['mlflowkit_request_seconds_count{path="/predict"}'] == 2
    assert grown['mlflowkit_request_seconds_bucket{path="/predict",le="+Inf"}'] == 2
    version = server.get("/readyz").json()["model"]
    info = f'mlflowkit_model_info{{name="digits",version="{version}",arch="resnet18"}}'
    assert after[info] == 1
    assert after["mlflowkit_requests_in_flight"] == 1


def test_many_at_once_are_all_answered_alike_and_health_does_not_wait(
    server: Server,
) -> None:
    images = [picture(300, 300 + i % 5) for i in range(60)]
    alone = {image: server.predict(image).json() for image in images[:5]}
    healthy, done = [0], threading.Event()

    def ask_for_health() -> None:
        while not done.is_set():
            assert server.get("/healthz").json() == {"alive": True}
            healthy[0] += 1

    watcher = threading.Thread(target=ask_for_health)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(server.predict, images))
    done.set()
    watcher.join()
    assert [a.status_code for a in answers] == [200] * len(images)
    assert [a.json() for a in answers] == [alone[image] for image in images]
    assert healthy[0] > len(images) / 8  # it did not stand in the queue of the images


def test_more_waiting_images_than_allowed_are_503(tmp_path: Path, model: Path) -> None:
    with serving(tmp_path, model, "--max-waiting", "1") as server:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(server.predict, [picture(2000, 2000)] * 48))
        refused = [a for a in answers if a.status_code == 503]
        assert {a.status_code for a in answers} == {200, 503}
        assert problem(refused[0]) == (503, "busy")
        assert refused[0].headers["retry-after"] == "1"
        assert server.predict(picture()).status_code == 200


def test_until_the_model_is_loaded_it_is_alive_but_not_ready(
    tmp_path: Path, model: Path
) -> None:
    with serving(tmp_path, model, ready=False) as server:
        # Importing torch alone takes longer than these three requests.
        assert server.get("/healthz").status_code == 200
        first = server.get("/readyz")
        assert (first.status_code, first.json()["ready"]) == (503, False)
        assert problem(server.predict(picture())) == (503, "not_ready")
        wait_for(server.ready)
        assert server.predict(picture()).status_code == 200


def test_sigterm_lets_what_is_being_answered_end(tmp_path: Path, model: Path) -> None:
    with serving(tmp_path, model) as server:
        host, port = server.url.removeprefix("http://").split(":")
        image = picture()
        with socket.create_connection((host, int(port)), timeout=120) as sock:
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(image)}\r\n"
            sock.sendall(f"{head}Content-Type: image/png\r\n\r\n".encode() + image[:50])
            wait_for(lambda: "in_flight 2" in server.get("/metrics").text)
            server.process.terminate()
            wait_for(lambda: not server.ready())
            sock.sendall(image[50:])
            answer = sock.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.process.wait(120) == 0


def test_sigterm_while_the_model_loads_ends_it_at_once(tmp_path: Path, model: Path) -> None:
    with serving(tmp_path, model, ready=False) as server:
        started = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - started < 60


def test_a_draining_server_still_answers_but_is_not_ready(
    tmp_path: Path, model: Path
) -> None:
    with serving(tmp_path, model, "--drain-seconds", "30") as server:
        server.process.terminate()
        wait_for(lambda: server.get("/readyz").status_code == 503)
        assert server.predict(picture()).status_code == 200
        assert server.get("/healthz").status_code == 200
        assert server.terminate() == 0


def test_a_gated_server_that_nobody_opens_ends_by_itself(
    tmp_path: Path, model: Path
) -> None:
    with serving(tmp_path, model, "--gated", "0.5", ready=False) as server:
        with pytest.raises(httpx.ConnectError):
            server.get("/healthz")
        assert server.process.wait(120) == EXIT_SHUT
        assert "nobody opened the public port" in server.log.read_text()


def test_a_model_that_is_none_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with serving(tmp_path, tmp_path / "empty", ready=False) as server:
        assert server.process.wait(120) == EXIT_LOAD
        assert "the model cannot be loaded: " in server.log.read_text()
        assert "Traceback" not in server.log.read_text()


def test_a_port_in_use_ends_it_before_the_model_is_read(
    tmp_path: Path, model: Path
) -> None:
    import subprocess

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        argv = [
            sys.executable,
            "-m",
            "mlflowkit.ml.serve",
            "--model",
            str(model),
            "--port",
            port,
        ]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == EXIT_PORT
    assert f"port {port} on 127.0.0.1 is already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_listens_on_loopback_unless_told_otherwise(server: Server) -> None:
    assert json.loads((server.log.parent / "address.json").read_text())["url"] == server.url
    assert server.url.startswith("http://127.0.0.1:")
    assert url_of("::1", 80) == "http://[::1]:80"
    assert url_of("0.0.0.0", 80) == "http://127.0.0.1:80"
