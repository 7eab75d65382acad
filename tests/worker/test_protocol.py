"""Frames: whatever goes in comes out whole and in order, however the bytes arrive."""

from __future__ import annotations

import random
import socket
import threading

import pytest

from mlflowkit.core.spec import AttemptId, RunId, TaskId
from mlflowkit.core.values import StoredValue
from mlflowkit.ports import LaunchOrder, Surroundings
from mlflowkit.worker import protocol
from mlflowkit.worker.protocol import (
    Answer,
    Ask,
    BlockingChannel,
    Close,
    Elsewhere,
    Ended,
    Fork,
    Frames,
    Kill,
    Mask,
    Message,
    Note,
    Order,
    Recall,
    Returned,
    SlotGone,
    Started,
    TemplateReady,
    decode,
    encode,
)

ATTEMPT = AttemptId(RunId("d/1"), TaskId("fit"), 3, 2)
VALUE = StoredValue(codec="json", inline=b"\0\xff", size=2, length=1, keys=("a",))
ORDER = LaunchOrder(
    attempt=ATTEMPT,
    try_number=1,
    max_tries=3,
    bundle="/b",
    surroundings=Surroundings(
        python="p", env={"A": "é"}, cwd="/", sys_path=("x",), umask=18
    ),
    params_json=b"{}",
    facts_json=b"{}",
    inputs={"a\0return_value": VALUE, "b\0return_value": None},
    axes=(("x", 3),),
    expanded_keys=("return_value",),
)
MESSAGES: list[Message] = [
    Order(ORDER),
    Kill(ATTEMPT, "cancelled", 0.5),
    Close(),
    Answer(b"\x01", "why"),
    Started(ATTEMPT, 7),
    Ended(ATTEMPT, "succeeded", values=[("k", VALUE)], facts={"n": 1}),
    Ask(ATTEMPT, "xcom", {"task_id": "a"}),
    Note(b'{"kind": "x"}'),
    Mask(["s3cret", "é"], answer=False),
    Elsewhere(4711, ended=True),
    Fork(1),
    SlotGone(1, "why"),
    TemplateReady("error"),
    Recall(),
    Returned([ATTEMPT]),
]


def test_every_kind_of_message_is_tried_here() -> None:
    assert {type(m) for m in MESSAGES} == set(protocol._KINDS)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    (frame,) = Frames().feed(encode(message))
    assert decode(frame) == message


@pytest.mark.parametrize("seed", range(5))
def test_frames_come_out_whole_however_the_bytes_are_cut(seed: int) -> None:
    dice = random.Random(seed)
    data = b"".join(map(encode, MESSAGES * 3))
    frames, found = Frames(), list[Message]()
    while data:
        size = dice.choice([1, 2, 3, 5, 100, 4096])
        found += [decode(frame) for frame in frames.feed(data[:size])]
        data = data[size:]
    assert found == MESSAGES * 3


def test_a_damaged_stream_is_noticed() -> None:
    with pytest.raises(ValueError, match="damaged"):
        list(Frames().feed(b"\xff\xff\xff\xff\x00"))


def test_messages_of_several_threads_do_not_mix() -> None:
    ours, theirs = socket.socketpair()
    sender, receiver = BlockingChannel(ours), BlockingChannel(theirs)
    lines = {bytes([65 + n]) * 50_000 for n in range(8)}

    def send(line: bytes) -> None:
        for _ in range(20):
            sender.send(Note(line))

    threads = [threading.Thread(target=send, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    got = [receiver.receive() for _ in range(8 * 20)]
    for thread in threads:
        thread.join()
    ours.close()
    assert receiver.receive() is None
    assert {line for m in got if isinstance(m, Note) for line in [m.line]} == lines
    theirs.close()
