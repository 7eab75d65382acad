"""Keys that S3 allows and SeaweedFS does not: against moto, which stores any key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest
from moto.server import ThreadedMotoServer

from mlflowkit.ml.images import load_images
from tests.ml.pictures import picture


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    monkeypatch.setenv(
        "MLFLOWKIT_CONN_MOTO", f"aws://k:s@/?endpoint_url={quote(url, safe='')}"
    )
    yield url
    server.stop()


def test_dots_and_empty_names_in_keys_are_fetched_and_stay_in_the_cache(
    endpoint: str, tmp_path: Path
) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )
    client.create_bucket(Bucket="odd")
    keys = [
        "in/a//b.png",
        "in/x/../../../../etc/passwd",
        "in/./c.png",
        "in/..",
        "in//d.png",
    ]
    objects = {key: picture(number) for number, key in enumerate(keys)}
    for key, body in objects.items():
        client.put_object(Bucket="odd", Key=key, Body=body)
    cache = tmp_path / "cache"
    manifest = load_images("s3://odd/in", connection="moto", cache=cache)
    found = {image.key: path for image, path in manifest.paths(cache)}
    assert {key: path.read_bytes() for key, path in found.items()} == objects
    assert all(cache in path.resolve().parents for path in found.values())
    assert [p for p in tmp_path.rglob("*") if p.is_file() and cache not in p.parents] == []
