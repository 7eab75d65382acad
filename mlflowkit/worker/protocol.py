"""The one protocol between engine, supervisor and child: what is said, and how it is framed.

    engine ──Order, Kill, Close, Answer──▶ supervisor ──Order, Answer, Close──▶ child
    engine ◀─Started, Ended, Ask───────── supervisor ◀─Ended, Ask, Note, Mask, Elsewhere── child

One stream socket on each side. A frame is 4 bytes of length (big endian, of what
follows), 1 byte of kind, and a MessagePack body. Order is kept; nothing is lost while
both ends live; the end of the stream means that the other side is gone.
A supervisor forwards `Ended` only after all the attempt's output is in its log.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from mlflowkit.core.spec import AttemptId
from mlflowkit.core.values import StoredValue
from mlflowkit.ports import LaunchOrder

_LENGTH = struct.Struct(">I")
#: No frame is larger: inline values are small, everything else is an artifact.
MAX_FRAME_BYTES = 64 * 1024 * 1024
#: An `Ended` stays below it: a supervisor adds some facts.
LARGEST_ENDED = MAX_FRAME_BYTES - 1024 * 1024
#: What reading a damaged or foreign frame may raise.
FRAME_ERRORS = (ValueError, IndexError, msgspec.DecodeError)


class Order(msgspec.Struct, frozen=True):
    """Run this attempt."""

    order: LaunchOrder


class Kill(msgspec.Struct, frozen=True):
    """End this attempt and every process below it."""

    attempt: AttemptId
    why: str
    #: Seconds between interrupt, SIGTERM and SIGKILL.
    grace: float


class Close(msgspec.Struct, frozen=True):
    """No more orders will come: end when the current one is done."""


class Answer(msgspec.Struct, frozen=True):
    """What an `Ask` asked for, as MessagePack; or why not. Also: a `Mask` is in place."""

    body: bytes
    error: str = ""
    #: Code of the error, if it is one that a person can mend.
    user_code: str = ""
    #: That of its question; filled in by the supervisor.
    number: int = 0


class Started(msgspec.Struct, frozen=True):
    """Supervisor to engine: the attempt was given to a child that waited for it."""

    attempt: AttemptId
    pid: int


class Ended(msgspec.Struct, frozen=True):
    """An attempt is over. `outcome`: succeeded, skipped, rescheduled, failed, lost."""

    attempt: AttemptId
    outcome: str
    values: list[tuple[str, StoredValue]] = []
    #: One line for people.
    why: str = ""
    #: The whole error.
    error: str = ""
    retryable: bool = True
    #: A branch: which of the tasks directly below go on.
    chosen: tuple[str, ...] | None = None
    #: A short circuit: "all" below is skipped, or what is "direct"ly below.
    halts: str = ""
    #: Rescheduled: when it wants to go on.
    when: datetime | None = None
    #: Assets that it has updated, with what it said of them (JSON).
    assets: list[tuple[str, bytes]] = []
    #: What a service attempt gave (JSON).
    answer: bytes = b""
    #: What its result is kept under, if it is to be kept.
    cache_key: str = ""
    #: `exception`: itself, as a stored value; and whatever else is worth keeping.
    facts: dict[str, Any] = {}


class Ask(msgspec.Struct, frozen=True):
    """The running task wants something; `ports.Engine.ask` says what there is."""

    attempt: AttemptId
    what: str
    arguments: dict[str, Any]
    #: Its child counts its questions: an interrupted wait leaves an answer on its way.
    number: int = 0


class Note(msgspec.Struct, frozen=True):
    """A line for the attempt's journal (JSON). Child to supervisor only."""

    line: bytes


class Mask(msgspec.Struct, frozen=True):
    """Child to supervisor: show `***` for these in all that the attempt leaves behind."""

    values: list[str]
    #: Whether an `Answer` is waited for: after it, nothing more is written in plain text.
    answer: bool = True
    #: As in `Ask`.
    number: int = 0


class Elsewhere(msgspec.Struct, frozen=True):
    """Child to supervisor: a process that is not below it works for its attempt, or no more.

    The attempt is reported ended only when such processes are dead, too.
    """

    pid: int
    #: It is dead, or works for somebody else now.
    ended: bool = False


class Fork(msgspec.Struct, frozen=True):
    """Engine to template: make a supervisor on the socket that comes with this."""

    slot: int


class SlotGone(msgspec.Struct, frozen=True):
    """Template to engine: this supervisor and every process below it are dead."""

    slot: int
    why: str


class Recall(msgspec.Struct, frozen=True):
    """Engine to supervisor: give back the orders that have not started."""


class Returned(msgspec.Struct, frozen=True):
    """Supervisor to engine: these were given back, and will not start here."""

    attempts: list[AttemptId]


class TemplateReady(msgspec.Struct, frozen=True):
    """Template to engine: the bundle is open; or it cannot be."""

    error: str = ""


Message = (
    Order
    | Kill
    | Close
    | Answer
    | Started
    | Ended
    | Ask
    | Note
    | Fork
    | SlotGone
    | TemplateReady
    | Recall
    | Returned
    | Mask
    | Elsewhere
)
_KINDS: tuple[type[Any], ...] = (
    Order,
    Kill,
    Close,
    Answer,
    Started,
    Ended,
    Ask,
    Note,
    Fork,
    SlotGone,
    TemplateReady,
    Recall,
    Returned,
    Mask,
    Elsewhere,
)
_NUMBER = {cls: bytes([i]) for i, cls in enumerate(_KINDS)}
_DECODERS = [msgspec.msgpack.Decoder(cls) for cls in _KINDS]
_ENCODER = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """A whole frame."""
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body) + 1) + _NUMBER[type(message)] + body


def decode(frame: bytes) -> Message:
    """A frame without its length."""
    found: Message = _DECODERS[frame[0]].decode(memoryview(frame)[1:])
    return found


class Frames:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {length} bytes: the stream is damaged")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield frame


class BlockingChannel:
    """One end of a stream, for a process that has nothing else to wait for."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._frames = Frames()
        self._waiting: list[bytes] = []
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Frames from several threads do not mix."""
        self.send_frame(encode(message))

    def send_frame(self, frame: bytes) -> None:
        """A message that is encoded already."""
        with self._sending:
            self.sock.sendall(frame)

    def receive(self) -> Message | None:
        """The next message; None when the other side is gone."""
        while not self._waiting:
            data = self.sock.recv(65536)
            if not data:
                return None
            self._waiting += self._frames.feed(data)
        return decode(self._waiting.pop(0))
