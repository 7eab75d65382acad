"""The local S3 server starts, checks credentials, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mlflowkit.demo.s3_server import S3Server
from mlflowkit.errors import S3ServerFailed

PARENT = """
import sys, time
from mlflowkit.demo.s3_server import S3Server
with S3Server() as server:
    print(server.pid, server.folder, flush=True)
    time.sleep(600)
"""


def test_it_answers_signed_requests_and_ends_without_a_trace() -> None:
    with S3Server() as server:
        server.create_bucket("one")
        server.create_bucket("one")
        server.client().put_object(Bucket="one", Key="k", Body=b"v")
        assert server.client().get_object(Bucket="one", Key="k")["Body"].read() == b"v"
        pid, folder = server.pid, server.folder
        assert pid is not None
        assert server.secret_key not in " ".join(psutil.Process(pid).cmdline())
        assert (folder / "s3.json").stat().st_mode & 0o077 == 0
    assert not psutil.pid_exists(pid)
    assert not folder.exists()


def test_it_keeps_its_data_in_a_folder_that_was_given(tmp_path: Path) -> None:
    with S3Server(tmp_path) as server:
        server.create_bucket("kept")
        server.client().put_object(Bucket="kept", Key="k", Body=b"v")
    with S3Server(tmp_path) as server:
        assert server.client().get_object(Bucket="kept", Key="k")["Body"].read() == b"v"


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(S3ServerFailed, match=f"port {port} is in use"):
            S3Server(tmp_path, s3_port=port).start()


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where its folder should be")
    with pytest.raises((S3ServerFailed, FileExistsError)):
        S3Server(tmp_path).start()
    (tmp_path / "data").unlink()
    (tmp_path / "data" / "filerldb2").mkdir(parents=True)
    (tmp_path / "data" / "filerldb2" / "00").write_text("no database")
    with pytest.raises(S3ServerFailed, match=r"ended with status") as caught:
        S3Server(tmp_path).start()
    assert caught.value.tail
    assert str(tmp_path / "weed.log") in str(caught.value)


def test_it_dies_with_the_process_that_started_it() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[0])
    server = psutil.Process(pid)
    assert server.is_running()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 120
    while psutil.pid_exists(pid) and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
