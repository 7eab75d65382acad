"""What boto3 and obstore say when something is wrong, in our words.

Only facts a person may see are passed on: codes and messages, never a request
(its headers and URLs can hold keys).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from mlflowkit.errors import (
    BucketMissing,
    ConnectionError_,
    CredentialsMissing,
    CredentialsRefused,
    EndpointUnreachable,
    InvalidConnection,
    KeyMissing,
    StorageFailed,
)
from mlflowkit.hooks.base import env_variable

_REFUSED: Final = frozenset(
    {
        "403",
        "AccessDenied",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)


class Place(NamedTuple):
    """Where a call went: what the errors name."""

    conn_id: str
    endpoint: str
    bucket: str
    key: str = ""


@contextmanager
def translated_boto(place: Place) -> Iterator[None]:
    """Turn botocore's errors inside the block into ours."""
    try:
        from botocore import exceptions as boto
    except ImportError:
        yield
        return
    try:
        yield
    except boto.ClientError as exc:
        raise _from_answer(place, exc.response.get("Error", {})) from exc
    except (boto.NoCredentialsError, boto.PartialCredentialsError) as exc:
        raise _no_credentials(place, f"{exc}.") from exc
    except (boto.TokenRetrievalError, boto.SSOError) as exc:
        raise _no_credentials(place, f"the single sign-on is over ({exc}).") from exc
    except boto.ProfileNotFound as exc:
        raise InvalidConnection(f"connection {place.conn_id!r}", f"{exc}.") from exc
    except (boto.ConnectionError, boto.HTTPClientError) as exc:
        raise EndpointUnreachable(place.conn_id, place.endpoint, _short(exc)) from exc
    except ValueError as exc:
        if not str(exc).startswith("Invalid endpoint"):
            raise
        raise InvalidConnection(f"connection {place.conn_id!r}", f"{exc}.") from exc
    except boto.BotoCoreError as exc:
        raise StorageFailed(place.conn_id, place.endpoint, _short(exc)) from exc


@contextmanager
def translated_obstore(place: Place) -> Iterator[None]:
    """Turn obstore's errors inside the block into ours, but for a missing object."""
    try:
        from obstore import exceptions as obs
    except ImportError:
        yield
        return
    try:
        yield
    except (obs.PermissionDeniedError, obs.UnauthenticatedError) as exc:
        reason = _code_in(str(exc)) or "AccessDenied"
        raise CredentialsRefused(
            place.conn_id, place.endpoint, reason, place.bucket
        ) from exc
    except obs.GenericError as exc:
        text = str(exc)
        if "error sending request" in text or "HTTP error" in text:
            raise EndpointUnreachable(place.conn_id, place.endpoint, _short(exc)) from exc
        raise StorageFailed(place.conn_id, place.endpoint, _short(exc)) from exc


def error_code(exc: Any) -> str:
    """The code of a botocore ClientError, e.g. `NoSuchKey` or `404`."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def _from_answer(place: Place, error: dict[str, Any]) -> ConnectionError_:
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    if code in _REFUSED:
        reason = "Forbidden" if code == "403" else code
        return CredentialsRefused(place.conn_id, place.endpoint, reason, place.bucket)
    if place.key and code in ("404", "NoSuchKey"):
        return KeyMissing(place.bucket, place.key, place.endpoint, place.conn_id)
    if code == "NoSuchBucket" or (code == "404" and place.bucket):
        return BucketMissing(place.bucket, place.endpoint, place.conn_id)
    return StorageFailed(place.conn_id, place.endpoint, f"{code}: {message}")


def _no_credentials(place: Place, why: str) -> CredentialsMissing:
    return CredentialsMissing(place.conn_id, env_variable(place.conn_id), why)


def _code_in(text: str) -> str:
    found = re.search(r"<Code>(\w+)</Code>", text)
    return found.group(1) if found else ""


def _short(exc: Exception) -> str:
    """The first line of a foreign message, without the query of a signed URL."""
    line = (str(exc).strip() or type(exc).__name__).splitlines()[0]
    line = re.sub(r"\?X-Amz-[^\s\"')]*", "?…", line)
    return line if len(line) <= 300 else line[:297] + "..."
