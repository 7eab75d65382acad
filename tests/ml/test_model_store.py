"""Models in S3: a version is whole or not there, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
import torch

from mlflowkit.demo.s3_server import S3Server
from mlflowkit.errors import BucketMissing, CorruptModel, CredentialsRefused, ModelMissing
from mlflowkit.ml.model import (
    download_model,
    read_card,
    read_model,
    resolve_model,
    save_model,
    upload_model,
)
from tests.ml.cutting_proxy import CuttingProxy
from tests.ml.models import CARD, weights

UPLOAD = """
import sys
from mlflowkit.ml.model import upload_model
upload_model(sys.argv[1], sys.argv[2])
"""


def listing(s3: S3Server, bucket: str) -> dict[str, str]:
    answer = s3.client().list_objects_v2(Bucket=bucket.removeprefix("s3://"))
    return {
        each["Key"]: f"{each['ETag']} {each['LastModified']}"
        for each in answer.get("Contents", ())
    }


def put(s3: S3Server, bucket: str, key: str, body: bytes) -> None:
    s3.client().put_object(Bucket=bucket.removeprefix("s3://"), Key=key, Body=body)


def test_an_uploaded_model_comes_back_whole(bucket: str, tmp_path: Path) -> None:
    folder = save_model(weights(1), CARD, tmp_path / "model")
    uri = upload_model(folder, f"{bucket}/models/digits/")
    assert uri == f"{bucket}/models/digits/{read_card(folder).version}"
    for source in (
        uri,
        uri + "/",
        f"{bucket}/models/digits",
        f"{bucket}/models/digits/latest",
    ):
        brought = download_model(source, cache=tmp_path / "cache")
        card, state = read_model(brought)
        assert card == read_card(folder)
        assert torch.equal(state["fc.weight"], weights(1)["fc.weight"])
        assert resolve_model(source) == uri
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_bucket_itself_may_hold_a_model(bucket: str, tmp_path: Path) -> None:
    uri = upload_model(save_model(weights(1), CARD, tmp_path / "model"), bucket)
    assert resolve_model(bucket) == uri
    assert read_card(download_model(bucket, cache=tmp_path / "cache")).arch == "resnet18"


def test_the_same_model_again_is_the_same_uri_and_changes_nothing(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    uri = upload_model(save_model(weights(1), CARD, tmp_path / "a"), f"{bucket}/m")
    before = listing(s3, bucket)
    later = replace(CARD, created_at="2030-01-01T00:00:00+00:00")
    again = upload_model(save_model(weights(1), later, tmp_path / "b"), f"{bucket}/m")
    assert (again, listing(s3, bucket)) == (uri, before)


def test_versions_stay_and_latest_moves(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    first = upload_model(save_model(weights(1), CARD, tmp_path / "1"), f"{bucket}/m")
    second = upload_model(save_model(weights(2), CARD, tmp_path / "2"), f"{bucket}/m")
    assert first != second
    assert resolve_model(f"{bucket}/m") == second
    assert resolve_model(first) == first
    assert len(listing(s3, bucket)) == 5


def test_a_second_download_brings_nothing(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    uri = upload_model(save_model(weights(1), CARD, tmp_path / "1"), f"{bucket}/m")
    kept = download_model(uri, cache=tmp_path / "cache")
    s3.client().delete_object(
        Bucket=bucket.removeprefix("s3://"),
        Key=f"m/{uri.rpartition('/')[2]}/model.safetensors",
    )
    assert download_model(uri, cache=tmp_path / "cache") == kept
    (kept / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CorruptModel, match=r"has no model\.safetensors"):
        download_model(uri, cache=tmp_path / "cache")


def test_a_model_damaged_in_the_bucket_is_refused_and_not_kept(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    uri = upload_model(save_model(weights(1), CARD, tmp_path / "1"), f"{bucket}/m")
    put(s3, bucket, f"m/{uri.rpartition('/')[2]}/model.safetensors", b"something else")
    with pytest.raises(CorruptModel, match="SHA-256"):
        download_model(uri, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_folder_is_never_uploaded(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    folder = save_model(weights(1), CARD, tmp_path / "1")
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CorruptModel):
        upload_model(folder, f"{bucket}/m")
    assert listing(s3, bucket) == {}


@pytest.mark.parametrize("pointer", [b"", b"[]", b'{"version": "../../other"}'])
def test_a_pointer_that_leads_nowhere_is_refused(
    s3: S3Server, bucket: str, tmp_path: Path, pointer: bytes
) -> None:
    put(s3, bucket, "m/latest", pointer)
    with pytest.raises(CorruptModel, match="pointer"):
        download_model(f"{bucket}/m", cache=tmp_path)


def test_what_is_missing_is_named(
    s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_model(weights(1), CARD, tmp_path / "1")
    with pytest.raises(ModelMissing, match=f"{bucket}/none"):
        download_model(f"{bucket}/none", cache=tmp_path)
    with pytest.raises(BucketMissing, match="'no-such-bucket'"):
        upload_model(folder, "s3://no-such-bucket/m")
    endpoint = quote(s3.endpoint, safe="")
    uri = f"aws://{s3.access_key}:hunter2@/?endpoint_url={endpoint}"
    monkeypatch.setenv("MLFLOWKIT_CONN_WRONG", uri)
    with pytest.raises(CredentialsRefused, match="'wrong'"):
        upload_model(folder, f"{bucket}/m", connection="wrong")


@contextmanager
def upload_that_is_killed(
    s3: S3Server, folder: Path, uri: str, *, put_number: int, after_bytes: int
) -> Iterator[None]:
    """A process of its own that uploads, and is killed at that moment of its upload."""
    started = threading.Event()
    pids: list[int] = []

    def kill() -> None:
        started.wait()
        os.kill(pids[0], signal.SIGKILL)

    proxy = CuttingProxy(
        s3.endpoint, put_number=put_number, after_bytes=after_bytes, cut=kill
    )
    connection = s3.connection_uri.replace(
        quote(s3.endpoint, safe=""), quote(proxy.endpoint, safe="")
    )
    process = subprocess.Popen(
        [sys.executable, "-c", UPLOAD, str(folder), uri],
        env={**os.environ, "MLFLOWKIT_CONN_AWS_DEFAULT": connection},
    )
    pids.append(process.pid)
    started.set()
    try:
        assert process.wait(120) == -signal.SIGKILL
        assert proxy.was_cut
        yield
    finally:
        proxy.close()


@pytest.mark.parametrize(
    ("put_number", "after_bytes"),
    [(1, 1_000_000), (2, 0), (3, 0)],
    ids=["in the weights", "before the card", "before the pointer"],
)
def test_an_upload_that_is_killed_and_done_again_leaves_one_good_version(
    s3: S3Server, bucket: str, tmp_path: Path, put_number: int, after_bytes: int
) -> None:
    base, cache = f"{bucket}/m", tmp_path / "cache"
    old = save_model(weights(1), CARD, tmp_path / "old")
    new = save_model(weights(2, numbers=1_000_000), CARD, tmp_path / "new")
    old_uri = upload_model(old, base)
    with upload_that_is_killed(
        s3, new, base, put_number=put_number, after_bytes=after_bytes
    ):
        assert resolve_model(base) == old_uri
        assert read_card(download_model(base, cache=cache)) == read_card(old)
    new_uri = upload_model(new, base)
    assert resolve_model(base) == new_uri
    assert read_card(download_model(base, cache=cache)) == read_card(new)
    versions = [read_card(old).version, read_card(new).version]
    files = [
        f"m/{each}/{file}"
        for each in versions
        for file in ("model.json", "model.safetensors")
    ]
    assert sorted(listing(s3, bucket)) == sorted([*files, "m/latest"])


def test_a_reader_during_uploads_sees_whole_models_only(
    bucket: str, tmp_path: Path
) -> None:
    folders = [
        save_model(weights(seed, numbers=200_000), CARD, tmp_path / str(seed))
        for seed in range(6)
    ]
    order = [read_card(folder).sha256 for folder in folders]
    upload_model(folders[0], f"{bucket}/m")
    writer = threading.Thread(
        target=lambda: [upload_model(folder, f"{bucket}/m") for folder in folders[1:]]
    )
    writer.start()
    seen: list[int] = []
    while writer.is_alive() or not seen or seen[-1] != 5:
        kept = download_model(f"{bucket}/m", cache=tmp_path / f"cache-{len(seen)}")
        seen.append(order.index(read_card(kept).sha256))
        assert len(seen) < 500
    writer.join()
    assert seen == sorted(seen)


def test_weights_too_large_for_one_request_are_sent_in_parts(
    s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflowkit.ml.model_store._ONE_REQUEST_BYTES", 1 << 20)
    folder = save_model(weights(1, numbers=2_500_000), CARD, tmp_path / "1")
    uri = upload_model(folder, f"{bucket}/m")
    assert read_card(download_model(uri, cache=tmp_path / "cache")) == read_card(folder)
    before = listing(s3, bucket)
    assert "-" in before[f"m/{read_card(folder).version}/model.safetensors"].split()[0]
    assert (upload_model(folder, f"{bucket}/m"), listing(s3, bucket)) == (uri, before)


def test_two_uploads_of_one_model_at_once_leave_one_version(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    folder = save_model(weights(1, numbers=500_000), CARD, tmp_path / "1")
    uris: list[str] = []
    writers = [
        threading.Thread(target=lambda: uris.append(upload_model(folder, f"{bucket}/m")))
        for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(set(uris)) == 1
    assert len(uris) == 4
    assert len(listing(s3, bucket)) == 3
    assert read_card(download_model(uris[0], cache=tmp_path / "cache")) == read_card(folder)
