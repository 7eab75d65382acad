"""What the S3 hook does with buckets and objects, on a real server."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError

import pytest

from mlflowkit.demo.s3_server import S3Server
from mlflowkit.errors import (
    BadS3Place,
    BucketMissing,
    ConnectionError_,
    KeyExists,
    KeyMissing,
    NoFileToUpload,
    S3SelectGone,
    StorageFailed,
)
from mlflowkit.hooks.s3 import S3Hook

KEYS = ["a.txt", "in/b.txt", "in/c.csv", "in/deep/d.txt", "out/e.txt"]


@pytest.fixture
def name(bucket: str) -> str:
    """The name of a new, empty bucket."""
    return bucket.removeprefix("s3://")


@pytest.fixture
def filled(name: str) -> str:
    """The name of a bucket with the KEYS, each holding its own name."""
    for key in KEYS:
        S3Hook().load_string(key, key, name)
    return name


# ── buckets ─────────────────────────────────────────────────────────────────


def test_the_articles_lines_list_a_bucket(filled: str) -> None:
    s3_conn = S3Hook(aws_conn_id="aws_default")
    images = [obj.key for obj in s3_conn.get_bucket(filled).objects.all()]
    assert images == KEYS


def test_a_bucket_is_made_found_and_removed(s3: S3Server) -> None:
    hook, name = S3Hook(), f"made-{os.getpid()}"
    assert hook.check_for_bucket(name) is False
    hook.create_bucket(name)
    assert hook.check_for_bucket(name) is True
    hook.load_string("x", "a/b", name)
    with pytest.raises(StorageFailed, match="BucketNotEmpty"):
        hook.delete_bucket(name)
    hook.delete_bucket(name, force_delete=True)
    assert hook.check_for_bucket(name) is False


def test_a_bucket_of_the_connection_stands_in_where_none_is_named(
    filled: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "MLFLOWKIT_CONN_AWS_DEFAULT"
    service = f'{{"s3": {{"bucket_name": "{filled}"}}}}'
    uri = s3.connection_uri + "&service_config=" + urllib.request.quote(service)
    monkeypatch.setenv(variable, uri)
    assert S3Hook().list_keys() == KEYS
    assert S3Hook().read_key("a.txt") == "a.txt"
    assert S3Hook().check_for_bucket() is True


def test_a_key_without_any_bucket_is_an_error(s3: S3Server) -> None:
    for call in (
        lambda h: h.read_key("a.txt"),
        lambda h: h.read_key("s3://b/k", "b"),
        lambda h: h.read_key("s3://b"),
        lambda h: h.list_keys(),
    ):
        with pytest.raises(BadS3Place):
            call(S3Hook())


# ── lists ───────────────────────────────────────────────────────────────────


def test_keys_are_listed_by_prefix_folder_start_and_number(filled: str) -> None:
    hook = S3Hook()
    assert hook.list_keys(filled) == KEYS
    assert hook.list_keys(filled, prefix="in/") == KEYS[1:4]
    assert hook.list_keys(filled, prefix="in/", delimiter="/") == KEYS[1:3]
    assert hook.list_keys(filled, start_after_key="in/c.csv") == KEYS[3:]
    assert hook.list_keys(filled, max_items=2, page_size=1) == KEYS[:2]
    assert hook.list_keys(filled, prefix="none/") == []
    assert hook.list_prefixes(filled) == ["in/", "out/"]
    assert hook.list_prefixes(filled, prefix="in/") == ["in/deep/"]


def test_keys_are_chosen_by_pattern_time_and_function(filled: str) -> None:
    hook, now = S3Hook(), datetime.now(UTC)
    assert hook.list_keys(filled, prefix="in/*.txt", apply_wildcard=True) == [
        "in/b.txt",
        "in/deep/d.txt",
    ]
    hour = timedelta(hours=1)
    assert hook.list_keys(filled, from_datetime=now - hour, to_datetime=now + hour) == KEYS
    assert hook.list_keys(filled, from_datetime=now + hour) == []
    assert hook.list_keys(
        filled, object_filter=lambda found: [o for o in found if o["Size"] == 5]
    ) == ["a.txt"]


def test_what_a_listing_says_of_objects_is_given_whole(filled: str) -> None:
    found = S3Hook().get_file_metadata("in/", filled)
    assert [(o["Key"], o["Size"]) for o in found] == [(k, len(k)) for k in KEYS[1:4]]


def test_a_list_of_a_missing_bucket_is_an_error_and_no_empty_list(s3: S3Server) -> None:
    with pytest.raises(BucketMissing):
        S3Hook().list_keys("no-such-bucket")


def test_more_than_a_thousand_keys_are_listed_and_removed(name: str) -> None:
    hook = S3Hook()
    keys = [f"k{number:04}" for number in range(1001)]
    client = hook.get_conn()
    for key in keys:
        client.put_object(Bucket=name, Key=key, Body=b"")
    assert hook.list_keys(name) == keys
    hook.delete_objects(name, keys)
    assert hook.list_keys(name) == []
    hook.delete_objects(name, "never-there")
    hook.delete_objects(name, [])


# ── single objects ──────────────────────────────────────────────────────────


def test_an_object_is_there_or_not_and_a_missing_bucket_is_told_apart(filled: str) -> None:
    hook = S3Hook()
    assert hook.check_for_key("in/b.txt", filled) is True
    assert hook.check_for_key(f"s3://{filled}/in/b.txt") is True
    assert hook.check_for_key("in/nothing", filled) is False
    with pytest.raises(BucketMissing):
        hook.check_for_key("a.txt", "no-such-bucket")
    assert hook.head_object("nothing", filled) is None
    assert (hook.head_object("a.txt", filled) or {})["ContentLength"] == 5


def test_patterns_find_the_first_key_that_fits(filled: str) -> None:
    hook = S3Hook()
    assert hook.check_for_wildcard_key("in/*.csv", filled) is True
    assert hook.check_for_wildcard_key(f"s3://{filled}/in/?.txt") is True
    assert hook.check_for_wildcard_key("in/[xyz].txt", filled) is False
    assert hook.get_wildcard_key("in/*.txt", filled).key == "in/b.txt"
    assert hook.get_wildcard_key("*.png", filled) is None


def test_an_object_that_is_missing_is_named(
    filled: str, s3: S3Server, tmp_path: Path
) -> None:
    for call in (
        lambda h: h.read_key("no/such", filled),
        lambda h: h.get_key("no/such", filled),
        lambda h: h.download_file("no/such", filled, tmp_path),
        lambda h: h.copy_object("no/such", "x", filled, filled),
    ):
        with pytest.raises(KeyMissing) as caught:
            call(S3Hook())
        assert (caught.value.bucket, caught.value.key) == (filled, "no/such")
        assert caught.value.endpoint == s3.endpoint
    assert list(tmp_path.iterdir()) == []


def test_objects_are_read_as_text_bytes_and_boto3s_own(filled: str) -> None:
    hook = S3Hook()
    hook.load_bytes(b"\xff\x00", "raw", filled)
    assert hook.read_key("a.txt", filled) == "a.txt"
    assert hook.read_bytes("raw", filled) == b"\xff\x00"
    assert hook.get_key("raw", filled).get()["Body"].read() == b"\xff\x00"
    with pytest.raises(BadS3Place, match="no text in UTF-8"):
        hook.read_key("raw", filled)


def test_nothing_is_written_over_unless_asked(filled: str, tmp_path: Path) -> None:
    hook, file = S3Hook(), tmp_path / "f"
    file.write_text("new")
    for write in (
        lambda replace: hook.load_string("new", "a.txt", filled, replace),
        lambda replace: hook.load_bytes(b"new", "a.txt", filled, replace),
        lambda replace: hook.load_file_obj(io.BytesIO(b"new"), "a.txt", filled, replace),
        lambda replace: hook.load_file(file, "a.txt", filled, replace),
    ):
        with pytest.raises(KeyExists, match="replace=True"):
            write(False)
        assert hook.read_key("a.txt", filled) == "a.txt"
        write(True)
        assert hook.read_key("a.txt", filled) == "new"
        hook.load_string("a.txt", "a.txt", filled, replace=True)


def test_texts_and_files_are_packed_and_encoded_on_the_way(
    name: str, tmp_path: Path
) -> None:
    hook, file = S3Hook(), tmp_path / "f.txt"
    file.write_text("long " * 1000)
    hook.load_file(file, "f.gz", name, gzip=True, encrypt=False)
    hook.load_string("grün", "latin", name, encoding="latin-1")
    hook.load_string("grün", "gz", name, compression="gzip")
    assert gzip.decompress(hook.read_bytes("f.gz", name)).decode() == "long " * 1000
    assert hook.read_bytes("latin", name) == "grün".encode("latin-1")
    assert gzip.decompress(hook.read_bytes("gz", name)).decode() == "grün"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.txt"]
    with pytest.raises(BadS3Place, match="'gzip' or None"):
        hook.load_string("x", "zip", name, compression="zip")
    with pytest.raises(NoFileToUpload, match="nowhere"):
        hook.load_file(tmp_path / "nowhere", "x", name)


def test_a_large_file_goes_up_and_down_in_parts(name: str, tmp_path: Path) -> None:
    data = os.urandom(12 << 20)
    (tmp_path / "big").write_bytes(data)
    hook = S3Hook(
        transfer_config_args={
            "multipart_threshold": 5 << 20,
            "multipart_chunksize": 5 << 20,
        },
        extra_args={"Metadata": {"made-by": "test"}},
    )
    hook.load_file(tmp_path / "big", "big", name)
    head = hook.head_object("big", name) or {}
    assert head["ETag"].strip('"').endswith("-3")  # three parts
    assert head["Metadata"] == {"made-by": "test"}
    back = Path(hook.download_file("big", name, tmp_path / "down"))
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(data).digest()
    with io.BytesIO(data) as source:
        hook.load_file_obj(source, "again", name)
        assert not source.closed
    hook.copy_object("again", "copied", name, name)
    assert (hook.head_object("copied", name) or {})["ContentLength"] == len(data)


def test_a_download_keeps_its_name_inside_the_folder_that_was_given(
    filled: str, tmp_path: Path
) -> None:
    hook = S3Hook()
    own = Path(hook.download_file("in/b.txt", filled, tmp_path, preserve_file_name=True))
    assert (own.name, own.parent.parent) == ("b.txt", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for evil in ("../../evil.txt", "in/none.txt"):
        with pytest.raises(ConnectionError_):
            hook.download_file(evil, filled, tmp_path, preserve_file_name=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent.parent / "evil.txt").exists()
    options = {"preserve_file_name": True, "use_autogenerated_subdir": False}
    flat = hook.download_file("in/b.txt", filled, tmp_path, **options)
    assert (flat, Path(flat).read_text()) == (str(tmp_path / "b.txt"), "in/b.txt")
    with pytest.raises(BadS3Place, match="is there already"):
        hook.download_file("in/b.txt", filled, tmp_path, **options)
    with pytest.raises(BadS3Place, match="no name for a file"):
        hook.download_file("in/..", filled, tmp_path, **options)


def test_an_object_is_copied_under_another_name(filled: str) -> None:
    hook = S3Hook()
    hook.copy_object(f"s3://{filled}/a.txt", f"s3://{filled}/copy.txt")
    assert hook.read_key("copy.txt", filled) == "a.txt"


def test_a_presigned_url_lets_anybody_read_and_no_more(filled: str) -> None:
    place = {"Bucket": filled, "Key": "a.txt"}
    url = S3Hook().generate_presigned_url("get_object", place, expires_in=60)
    assert urllib.request.urlopen(url).read() == b"a.txt"
    with pytest.raises(HTTPError, match="403"):
        urllib.request.urlopen(url.replace("a.txt", "in/b.txt"))


def test_s3_select_is_refused_with_what_to_do_in_its_place(filled: str) -> None:
    with pytest.raises(S3SelectGone, match="read_key or download_file"):
        S3Hook().select_key("a.txt", filled, expression="SELECT * FROM S3Object s")


def test_errors_of_boto3s_own_objects_are_translated_where_asked(s3: S3Server) -> None:
    hook = S3Hook()
    with pytest.raises(BucketMissing), hook.errors("no-such-bucket"):
        list(hook.get_bucket("no-such-bucket").objects.all())
