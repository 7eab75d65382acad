"""What the tests of the server and of local deployments share: a tiny real model, a real process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

CLASSES = ("cat", "dog", "eel")
WAIT_S = 60.0


def make_model(folder: Path, *, seed: int = 0, favourite: str | None = None) -> Path:
    """A ResNet-18 with random weights; with a favourite, the class that it gives to every image."""
    import torch

    from mlflowkit.ml.model import ModelCard, save_model
    from mlflowkit.ml.resnet import build_resnet

    torch.manual_seed(seed)
    net = build_resnet("resnet18", len(CLASSES))
    state = net.state_dict()
    if favourite is not None:
        state["fc.bias"][CLASSES.index(favourite)] += 100.0
    card = ModelCard(
        arch="resnet18",
        classes=CLASSES,
        image_size=32,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
        metrics={},
        manifest_hash="0" * 64,
    )
    return Path(save_model(state, card, folder))


def picture(
    width: int = 40, height: int = 30, kind: str = "PNG", mode: str = "RGB"
) -> bytes:
    """A gradient, so that resizing and cropping change something."""
    from PIL import Image

    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def wait_for(condition: Callable[[], object], seconds: float = WAIT_S) -> None:
    """Wait until something is true, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


@dataclass
class Server:
    """A server process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=120, trust_env=False)

    def predict(self, image: bytes, kind: str = "image/png") -> httpx.Response:
        headers = {"Content-Type": kind}
        return httpx.post(
            self.url + "/predict",
            content=image,
            headers=headers,
            timeout=120,
            trust_env=False,
        )

    def ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self.get("/readyz").status_code == 200
        return False

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@contextlib.contextmanager
def serving(
    folder: Path, model: Path, *options: str, ready: bool = True
) -> Iterator[Server]:
    """A server process on a free port, ended at the end."""
    address, log = folder / "address.json", folder / "server.log"
    address.unlink(missing_ok=True)
    argv = [
        sys.executable,
        "-m",
        "mlflowkit.ml.serve",
        "--model",
        str(model),
        "--port",
        "0",
    ]
    argv += ["--threads", "1", "--address-file", str(address), *options]
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, env={**os.environ})
    try:
        wait_for(lambda: address.exists() or process.poll() is not None)
        assert address.exists(), log.read_text()
        server = Server(process, json.loads(address.read_text())["url"], log)
        if ready:
            wait_for(lambda: server.ready() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(120)
