"""Images are listed, fetched once, looked at once, and found again anywhere."""

from __future__ import annotations

import logging
import os
import random
from pathlib import Path
from urllib.parse import quote

import pytest

from mlflowkit.demo.s3_server import S3Server
from mlflowkit.errors import (
    BadImages,
    BucketMissing,
    CredentialsRefused,
    ImageGone,
    InvalidS3Url,
    NoImages,
)
from mlflowkit.ml.images import ImageRef, Manifest, SkippedObject, load_images
from tests.ml.pictures import picture


def put(s3: S3Server, bucket: str, objects: dict[str, bytes]) -> None:
    client = s3.client()
    for key, body in objects.items():
        client.put_object(Bucket=bucket.removeprefix("s3://"), Key=key, Body=body)


def refs(manifest: Manifest) -> dict[str, str]:
    return {image.key: image.label for image in manifest.images}


def test_a_prefix_becomes_a_manifest_of_keys_labels_sizes_and_etags(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    cat, dog = picture(1), picture(2, kind="JPEG")
    put(
        s3,
        bucket,
        {"pets/dog/1.jpg": dog, "pets/cat/1.png": cat, "other/x.png": picture(3)},
    )
    manifest = load_images(f"{bucket}/pets/", cache=tmp_path)
    etags = [image.etag for image in manifest.images]
    assert manifest == Manifest(
        uri=f"{bucket}/pets/",
        connection="aws_default",
        images=(
            ImageRef("pets/cat/1.png", "cat", len(cat), etags[0]),
            ImageRef("pets/dog/1.jpg", "dog", len(dog), etags[1]),
        ),
    )
    assert manifest.classes == ("cat", "dog")
    assert (manifest.downloaded, manifest.downloaded_bytes) == (2, len(cat) + len(dog))
    assert [path.read_bytes() for _, path in manifest.paths(tmp_path)] == [cat, dog]


def test_a_second_run_downloads_nothing_and_gives_the_same(
    s3: S3Server, bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(
        s3,
        bucket,
        {f"a/{n}.png": picture(n) for n in range(20)} | {"a/bad.png": b"no image"},
    )
    caplog.set_level(logging.INFO)
    first = load_images(bucket, cache=tmp_path)
    second = load_images(bucket, cache=tmp_path)
    assert first == second
    assert (first.downloaded, second.downloaded, second.downloaded_bytes) == (21, 0, 0)
    facts = [vars(record) for record in caplog.records if record.message == "images read"]
    assert [each["downloaded"] for each in facts] == [21, 0]


def test_only_what_is_new_is_downloaded(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    put(s3, bucket, {"a/1.png": picture(1), "a/2.png": picture(2)})
    first = load_images(bucket, cache=tmp_path)
    put(s3, bucket, {"a/2.png": picture(3), "a/again.png": picture(1)})
    second = load_images(bucket, cache=tmp_path)
    assert second.downloaded == 1
    assert second.content_hash != first.content_hash


def test_pages_are_followed_and_limit_cuts(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    bodies = [picture(n, side=2) for n in range(40)]
    put(s3, bucket, {f"c{n % 3}/{n:04d}.png": bodies[n % 40] for n in range(1_050)})
    manifest = load_images(bucket, cache=tmp_path)
    assert len(manifest.images) == 1_050
    assert [image.key for image in manifest.images] == sorted(refs(manifest))
    few = load_images(bucket, cache=tmp_path, limit=5)
    assert few.images == manifest.images[:5]


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    put(s3, bucket, {"train/a/1.png": picture(1), "training/b/2.png": picture(2)})
    for uri in (f"{bucket}/train", f"{bucket}/train/"):
        assert refs(load_images(uri, cache=tmp_path)) == {"train/a/1.png": "a"}
    everything = {"train/a/1.png": "train/a", "training/b/2.png": "training/b"}
    assert refs(load_images(bucket, cache=tmp_path)) == everything


def test_odd_names_stay_names_and_never_leave_the_cache(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    keys = [
        "a b/c d.png",
        "ünï/日本 語.png",
        "..up/..png..",
        "per%2Fcent/100%.png",
        "q?x=1&y#z/+.png",
        "line\nbreak/x.png",
        "semi;colon/'quote\".png",
        "x" * 200 + "/" + "y" * 200 + ".png",
    ]
    objects = {key: picture(number) for number, key in enumerate(keys)}
    put(s3, bucket, objects)
    cache = tmp_path / "deep" / "cache"
    manifest = load_images(bucket, cache=cache)
    assert refs(manifest) == {key: key.rpartition("/")[0] for key in keys}
    found = {image.key: path.read_bytes() for image, path in manifest.paths(cache)}
    assert found == objects
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and cache not in p.parents]
    assert outside == []


def test_folder_markers_are_no_images(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    put(s3, bucket, {"in/": b"", "in/a/": b"", "in/a/1.png": picture(1)})
    manifest = load_images(f"{bucket}/in", cache=tmp_path)
    assert refs(manifest) == {"in/a/1.png": "a"}
    assert manifest.skipped == ()


def broken_objects() -> dict[str, bytes]:
    png, jpeg = picture(1, side=32), picture(2, kind="JPEG", side=64)
    return {
        "a/cut.png": png[: len(png) // 2],
        "a/cut-header.png": png[:20],
        "a/flipped.png": png[:-40] + bytes([png[-40] ^ 1]) + png[-39:],
        "a/cut.jpg": jpeg[: len(jpeg) // 2],
        "a/text.png": b"this is a text file\n",
        "a/empty.png": b"",
        "labels.csv": b"key,label\n",
    }


def test_broken_objects_are_named_with_a_reason_and_left_out(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    put(s3, bucket, broken_objects() | {"a/whole.png": picture(5)})
    manifest = load_images(bucket, cache=tmp_path)
    assert refs(manifest) == {"a/whole.png": "a"}
    reasons = {each.key: each.reason for each in manifest.skipped}
    assert sorted(reasons) == sorted(broken_objects())
    assert "truncated" in reasons["a/cut.png"]
    assert "truncated" in reasons["a/cut.jpg"]
    assert reasons["a/text.png"] == "not an image in a format that Pillow knows"
    assert reasons["a/empty.png"] == "an empty object"
    assert load_images(bucket, cache=tmp_path) == manifest


def test_broken_objects_are_fatal_when_asked_for(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    put(s3, bucket, {"a/text.png": b"text", "a/whole.png": picture(5)})
    for _again in range(2):
        with pytest.raises(BadImages) as caught:
            load_images(bucket, cache=tmp_path, on_error="fail")
        assert caught.value.bad == (
            ("a/text.png", "not an image in a format that Pillow knows"),
        )
        assert "'a/text.png'" in str(caught.value)


def test_large_images_pass_through_the_disk(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    large = picture(1, kind="BMP", side=1300)
    assert len(large) > 4 << 20
    put(s3, bucket, {"a/large.bmp": large, "a/cut.bmp": large[:-100_000]})
    manifest = load_images(bucket, cache=tmp_path)
    assert [path.read_bytes() for _, path in manifest.paths(tmp_path)] == [large]
    assert [each.key for each in manifest.skipped] == ["a/cut.bmp"]
    assert list(tmp_path.rglob("*.part")) == []


def test_an_empty_prefix_is_an_error_that_says_where(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    put(s3, bucket, {"training/1.png": picture(1), "texts/a.txt": b"text"})
    with pytest.raises(NoImages, match=f"{bucket}/train ") as caught:
        load_images(f"{bucket}/train", cache=tmp_path)
    assert caught.value.skipped == 0
    with pytest.raises(NoImages, match="only 1 objects that are not images"):
        load_images(f"{bucket}/texts", cache=tmp_path)


def test_a_missing_bucket_and_a_wrong_secret_are_told_before_anything_is_read(
    s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = quote(s3.endpoint, safe="")
    monkeypatch.setenv(
        "MLFLOWKIT_CONN_WRONG", f"aws://{s3.access_key}:hunter2@/?endpoint_url={endpoint}"
    )
    with pytest.raises(BucketMissing, match="'no-such-bucket'"):
        load_images("s3://no-such-bucket/x", cache=tmp_path)
    with pytest.raises(CredentialsRefused, match="'wrong'"):
        load_images(bucket, connection="wrong", cache=tmp_path)
    with pytest.raises(InvalidS3Url):
        load_images("/local/folder", cache=tmp_path)
    with pytest.raises(ValueError, match="on_error"):
        load_images(bucket, on_error="ignore", cache=tmp_path)  # type: ignore[arg-type]


def test_a_manifest_works_on_a_machine_with_an_empty_cache(
    s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {f"a/{n}.png": picture(n) for n in range(30)}
    put(s3, bucket, objects)
    manifest = load_images(bucket, cache=tmp_path / "here")
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "there"))
    found = {image.key: path for image, path in manifest.paths()}
    assert {key: path.read_bytes() for key, path in found.items()} == objects
    assert all((tmp_path / "there") in path.parents for path in found.values())


def test_a_cut_off_file_in_the_cache_is_fetched_again(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    body = picture(1)
    put(s3, bucket, {"a/1.png": body})
    [(_, path)] = load_images(bucket, cache=tmp_path).paths(tmp_path)
    path.write_bytes(body[:10])
    again = load_images(bucket, cache=tmp_path)
    assert again.downloaded == 1
    assert path.read_bytes() == body
    os.truncate(path, 0)
    assert [each.read_bytes() for _, each in again.paths(tmp_path)] == [body]


def test_an_object_that_changed_or_went_since_it_was_listed_is_named(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    put(s3, bucket, {"a/1.png": picture(1)})
    manifest = load_images(bucket, cache=tmp_path / "here")
    put(s3, bucket, {"a/1.png": picture(2)})
    with pytest.raises(ImageGone, match=r"'a/1.png'.* was changed"):
        list(manifest.paths(tmp_path / "there"))
    s3.client().delete_object(Bucket=bucket.removeprefix("s3://"), Key="a/1.png")
    with pytest.raises(ImageGone, match="was removed"):
        list(manifest.paths(tmp_path / "elsewhere"))


def test_the_content_hash_knows_contents_and_labels_and_not_their_order() -> None:
    images = [ImageRef(f"p/{n}", str(n % 2), n, f"{n:032x}") for n in range(20)]
    shuffled = random.Random(1).sample(images, len(images))
    moved = [ImageRef("q" + each.key, each.label, each.size, each.etag) for each in images]
    relabelled = [ImageRef("p/0", "1", 0, images[0].etag), *images[1:]]

    def content_hash(refs: list[ImageRef]) -> str:
        return Manifest("s3://b", "c", tuple(refs)).content_hash

    assert content_hash(images) == content_hash(shuffled) == content_hash(moved)
    assert content_hash(relabelled) != content_hash(images) != content_hash(images[1:])


def test_skipped_objects_and_downloads_are_no_part_of_the_content() -> None:
    image = ImageRef("a/1", "a", 1, "e")
    plain = Manifest("s3://b", "c", (image,))
    assert Manifest("s3://b", "c", (image,), downloaded=3) == plain
    skipped = Manifest("s3://b", "c", (image,), (SkippedObject("x", "y"),))
    assert skipped.content_hash == plain.content_hash
