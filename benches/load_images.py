"""`load_images` against a one-by-one boto3 loop that writes the same objects to disk.

Both read 2,000 small PNG files from a local SeaweedFS into an empty folder;
`load_images` also looks at each one. Interleaved pairs, the ratio of each pair.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mlflowkit.demo.digits import upload_folder, write_digits
from mlflowkit.demo.s3_server import S3Server
from mlflowkit.hooks.s3 import S3Hook
from mlflowkit.ml.images import load_images

OBJECTS = 2_000
PAIRS = 3
CONNECTION = "bench_load_images"
VARIABLE = "MLFLOWKIT_CONN_BENCH_LOAD_IMAGES"


def run() -> dict[str, object]:
    """Seconds of both ways, and how many times faster `load_images` is (target: 5)."""
    with tempfile.TemporaryDirectory() as scratch, S3Server() as server:
        os.environ[VARIABLE] = server.connection_uri
        try:
            return _measure(Path(scratch), server.create_bucket("bench"))
        finally:
            del os.environ[VARIABLE]


def _measure(scratch: Path, uri: str) -> dict[str, object]:
    upload_folder(_objects(scratch / "source"), uri, CONNECTION)
    _loop(scratch / "warm-loop", limit=50)
    load_images(uri, connection=CONNECTION, cache=scratch / "warm-load", limit=50)
    ours, theirs = [], []
    for pair in range(PAIRS):
        theirs.append(_timed(partial(_loop, scratch / f"loop-{pair}")))
        ours.append(_timed(partial(_load, uri, scratch / f"load-{pair}")))
    again = _timed(partial(_load, uri, scratch / "load-0"))
    ratios = [slow / fast for slow, fast in zip(theirs, ours, strict=True)]
    return {
        "objects": OBJECTS,
        "load_images_s": [round(each, 3) for each in ours],
        "boto3_loop_s": [round(each, 3) for each in theirs],
        "second_run_s": round(again, 3),
        "ratios": [round(each, 2) for each in ratios],
        "ratio": round(statistics.median(ratios), 2),
        "target": 5.0,
    }


def _objects(folder: Path) -> Path:
    """The digits, and as many again of the first ones as are missing to the number."""
    write_digits(folder)
    files = sorted(folder.rglob("*.png"))
    for number, file in enumerate(files[: OBJECTS - len(files)]):
        file.with_name(f"again-{number:04d}.png").write_bytes(file.read_bytes())
    return folder


def _load(uri: str, cache: Path) -> None:
    manifest = load_images(uri, connection=CONNECTION, cache=cache)
    assert len(manifest.images) == OBJECTS


def _loop(folder: Path, limit: int | None = None) -> None:
    client = S3Hook(CONNECTION).get_conn()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bench")
    keys = [each["Key"] for page in pages for each in page["Contents"]]
    for key in keys[:limit]:
        target = folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(client.get_object(Bucket="bench", Key=key)["Body"].read())


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
