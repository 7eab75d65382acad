"""Models in S3: versions that never change, and a pointer to the newest.

    <uri>/<version>/model.safetensors    first
    <uri>/<version>/model.json           a version is there when this is there
    <uri>/latest                         last of all

A version is named by its content, so that an upload that was cut off is simply done
again, two at once do no harm, and a reader never sees half a model: it sees the
version that `latest` named before, or the new one. Every download is checked.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

from mlflowkit import settings
from mlflowkit.errors import CorruptModel, ModelMissing
from mlflowkit.hooks.s3 import DEFAULT_CONNECTION, S3Hook, parse_s3_url
from mlflowkit.hooks.s3_errors import error_code
from mlflowkit.ml.model_card import (
    CARD,
    WEIGHTS,
    ModelCard,
    check_sha256,
    local_folder,
    read_card,
)
from mlflowkit.ports import report_progress

log = logging.getLogger(__name__)

LATEST: Final = "latest"
_VERSION: Final = re.compile(r"[0-9a-f]{16}")
#: Above this a file is sent in parts: one request is cut off too easily, and ends at 5 GB.
_ONE_REQUEST_BYTES: Final = 1 << 30
_CHUNK_BYTES: Final = 1 << 20
_NOT_THERE: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_ALREADY_THERE: Final = frozenset(
    {"412", "PreconditionFailed", "ConditionalRequestConflict"}
)
_NO_CONDITIONS: Final = frozenset({"501", "NotImplemented"})


def upload_model(
    folder: Path | str, uri: str, *, connection: str = DEFAULT_CONNECTION
) -> str:
    """Put a model under an S3 URI as a version of its own, and give the version's URI.

    The same model again is the same URI, and sends nothing that is there already.
    `latest` then points to this version.

    Args:
        folder: What `save_model` wrote.
        uri: `s3://bucket/prefix`, the same for all versions of a model.
        connection: The id of an S3 connection.

    Raises:
        ModelMissing, CorruptModel: the folder holds no whole model. Nothing was sent.
        BucketMissing, CredentialsRefused, CredentialsMissing, EndpointUnreachable.
    """
    folder = Path(folder)
    card = read_card(folder)
    place = _Place.of(uri, connection)
    base, version = place.key.rstrip("/"), card.version
    at = f"{base}/{version}" if base else version
    pointer = f"{base}/{LATEST}" if base else LATEST
    version_uri = f"s3://{place.bucket}/{at}"
    place.hook.bucket_region(place.bucket)
    with place.hook.errors(place.bucket):
        if not place.holds(f"{at}/{CARD}"):
            report_progress(message=f"uploading {WEIGHTS}")
            place.put_file(f"{at}/{WEIGHTS}", folder / WEIGHTS, card.sha256)
            place.put_once(f"{at}/{CARD}", (folder / CARD).read_bytes())
        place.point(pointer, version, card.sha256)
    log.info("model uploaded", extra={"action": "model_uploaded", "uri": version_uri})
    return version_uri


def download_model(
    uri: str, *, connection: str = DEFAULT_CONNECTION, cache: Path | str | None = None
) -> Path:
    """A local folder with the model at a URI, checked against its SHA-256.

    Args:
        uri: A version's URI, the URI above it (its newest version), or a local folder
            as a path or a file:// URI, which is checked and given back.
        connection: The id of an S3 connection; not used for a local folder.
        cache: The folder that models are kept in; the home's own if not given.

    Raises:
        ModelMissing: there is no model, or no version of one.
        CorruptModel: what is there is not what was uploaded.
        UnknownModelFormat: a newer mlflowkit wrote it.
        BucketMissing, CredentialsRefused, CredentialsMissing, EndpointUnreachable.
    """
    folder = local_folder(uri)
    if folder is not None:
        read_card(folder)
        return folder
    place = _Place.of(uri, connection)
    place.hook.bucket_region(place.bucket)
    store = settings.home() / "cache" / "models" if cache is None else Path(cache)
    with place.hook.errors(place.bucket):
        at, text = _find_version(place, uri)
        card = ModelCard.from_json(text, uri)
        kept = store / f"{card.version}-{card.sha256[:16]}"
        if not _is_whole(kept, card):
            _bring(place, at, card, text, kept)
    return kept


def resolve_model(uri: str, *, connection: str = DEFAULT_CONNECTION) -> str:
    """The URI of the version that an S3 URI means now: its newest, or itself.

    Raises:
        ModelMissing: there is no model, or no version of one.
        CorruptModel: the `latest` pointer cannot be followed.
        BucketMissing, CredentialsRefused, CredentialsMissing, EndpointUnreachable.
    """
    place = _Place.of(uri, connection)
    place.hook.bucket_region(place.bucket)
    with place.hook.errors(place.bucket):
        at, _ = _find_version(place, uri)
    return f"s3://{place.bucket}/{at}"


class _Place(NamedTuple):
    """A bucket and a key in it, and the few things that are done there."""

    hook: S3Hook
    client: Any
    bucket: str
    key: str

    @classmethod
    def of(cls, uri: str, connection: str) -> _Place:
        bucket, key = parse_s3_url(uri)
        hook = S3Hook(connection)
        return cls(hook, hook.get_conn(), bucket, key.strip("/"))

    def get(self, key: str) -> bytes | None:
        """A small object, or None."""
        try:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except _client_error() as exc:
            if error_code(exc) in _NOT_THERE:
                return None
            raise
        return body

    def holds(self, key: str, sha256: str | None = None) -> bool:
        """Whether there is such an object, marked with this SHA-256 if one is asked for."""
        try:
            head = self.client.head_object(Bucket=self.bucket, Key=key)
        except _client_error() as exc:
            if error_code(exc) in _NOT_THERE:
                return False
            raise
        return sha256 is None or head["Metadata"].get("sha256") == sha256

    def put_file(self, key: str, file: Path, sha256: str) -> None:
        """Send a file, unless these very bytes are there from an earlier attempt."""
        if self.holds(key, sha256):
            return
        if file.stat().st_size > _ONE_REQUEST_BYTES:
            mark = {"Metadata": {"sha256": sha256}}
            self.client.upload_file(str(file), self.bucket, key, ExtraArgs=mark)
            return
        with file.open("rb") as body:
            self.client.put_object(
                Bucket=self.bucket, Key=key, Body=body, Metadata={"sha256": sha256}
            )

    def put_once(self, key: str, body: bytes) -> None:
        """Send a small object, unless there is one: what was there first stays."""
        at = {"Bucket": self.bucket, "Key": key, "Body": body}
        try:
            self.client.put_object(**at, IfNoneMatch="*")
        except _client_error() as exc:
            if error_code(exc) in _NO_CONDITIONS:
                self.client.put_object(**at)
            elif error_code(exc) not in _ALREADY_THERE:
                raise

    def point(self, key: str, version: str, sha256: str) -> None:
        """Let the pointer name this version."""
        facts = {"format": 1, "sha256": sha256, "version": version}
        body = json.dumps(facts, sort_keys=True).encode()
        if self.get(key) != body:
            self.client.put_object(
                Bucket=self.bucket, Key=key, Body=body, ContentType="application/json"
            )


def _client_error() -> Any:
    from botocore.exceptions import ClientError

    return ClientError


def _find_version(place: _Place, uri: str) -> tuple[str, bytes]:
    """The key of the version that a URI means, and its card's text."""
    base = place.key
    if base != LATEST and not base.endswith(f"/{LATEST}"):
        text = place.get(f"{base}/{CARD}") if base else None
        if text is not None:
            return base, text
        base = f"{base}/{LATEST}" if base else LATEST
    pointer = place.get(base)
    if pointer is None:
        raise ModelMissing(uri, f"{CARD} and no {LATEST} pointer")
    at = base.removesuffix(LATEST) + _version_in(pointer, uri)
    text = place.get(f"{at}/{CARD}")
    if text is None:
        raise CorruptModel(uri, f"{LATEST} points to {at}, which is not there")
    return at, text


def _version_in(pointer: bytes, uri: str) -> str:
    try:
        version = json.loads(pointer)["version"]
    except (ValueError, KeyError, TypeError) as exc:
        raise CorruptModel(uri, f"its {LATEST} pointer cannot be read") from exc
    if not _VERSION.fullmatch(str(version)):
        raise CorruptModel(uri, f"its {LATEST} pointer names no version")
    return str(version)


def _is_whole(kept: Path, card: ModelCard) -> bool:
    try:
        return read_card(kept).sha256 == card.sha256
    except (ModelMissing, CorruptModel):
        return False


def _bring(place: _Place, at: str, card: ModelCard, text: bytes, kept: Path) -> None:
    """Download into a folder beside `kept`, check it, and only then give it the name."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=kept.parent))
    try:
        _download_weights(place, f"{at}/{WEIGHTS}", scratch / WEIGHTS, card)
        (scratch / CARD).write_bytes(text)
        if kept.exists() and not _is_whole(kept, card):
            shutil.rmtree(kept)
        try:
            os.replace(scratch, kept)
        except OSError:
            # Another process brought the same version in the meantime.
            if not _is_whole(kept, card):
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download_weights(place: _Place, key: str, target: Path, card: ModelCard) -> None:
    where = f"s3://{place.bucket}/{key}"
    try:
        answer = place.client.get_object(Bucket=place.bucket, Key=key)
    except _client_error() as exc:
        if error_code(exc) not in _NOT_THERE:
            raise
        raise CorruptModel(where, f"it has no {WEIGHTS}") from exc
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
    check_sha256(where, card.sha256, digest.hexdigest())
