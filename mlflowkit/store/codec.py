"""Plain data of the core as bytes in a column, and back."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from mlflowkit.core import events
from mlflowkit.core.events import Event
from mlflowkit.core.spec import DagSpec, TaskId

_EVENTS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        events.RunOpened,
        events.PlacesOffered,
        events.TimePassed,
        events.AttemptStarted,
        events.AttemptSucceeded,
        events.AttemptSkipped,
        events.AttemptRescheduled,
        events.AttemptFailed,
        events.AttemptLost,
        events.PastSettled,
        events.CancelAsked,
        events.RetryAsked,
        events.InstanceAsked,
        events.RetryHeldBack,
        events.MarkAsked,
    )
}
_left_out = msgspec.json.Decoder(dict[int, tuple[TaskId, ...]])
_encoder = msgspec.json.Encoder()
_pairs = msgspec.json.Decoder(tuple[str, msgspec.Raw])
_decoders = {name: msgspec.json.Decoder(cls) for name, cls in _EVENTS.items()}


def encode(value: Any) -> bytes:
    """Any plain data as JSON."""
    return _encoder.encode(value)


def decode(data: bytes) -> Any:
    return msgspec.json.decode(data)


def encode_event(event: Event) -> bytes:
    """`["AttemptStarted", {"attempt": [...]}]`."""
    return _encoder.encode((type(event).__name__, event))


def decode_event(data: bytes) -> Event:
    name, body = _pairs.decode(data)
    event: Event = _decoders[name].decode(body)
    return event


def encode_spec(spec: DagSpec) -> bytes:
    fields = {
        n: getattr(spec, n) for n in spec.__dataclass_fields__ if not n.startswith("_")
    }
    return _encoder.encode(fields)


def decode_spec(data: bytes) -> DagSpec:
    return msgspec.json.decode(data, type=DagSpec)


def decode_left_out(data: bytes | str) -> dict[int, tuple[TaskId, ...]]:
    """What a branch left out, by map index."""
    return _left_out.decode(data)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
