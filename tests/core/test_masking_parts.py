"""Of a long secret no long part is left, however it was cut, wrapped or streamed."""

from __future__ import annotations

import base64
import itertools
import reprlib
import textwrap
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflowkit.core.masking import Masker, StreamMasker
from mlflowkit.core.masking_parts import SHORTEST_PART, Parts

#: As a token of three parts is.
TOKEN = "".join(f"{head}{n * 7919:x}." for n, head in enumerate(("eyJh", "Kzw", "Sfl") * 9))
#: Few letters, so that parts begin, overlap and nearly end everywhere.
LETTERS = st.text("ab", max_size=30)
LONG = st.lists(st.text("ab", min_size=32, max_size=50), min_size=1, max_size=2)


def parts_left(text: str, secret: str) -> list[str]:
    ends = range(SHORTEST_PART, len(secret) + 1)
    return [p for end in ends if (p := secret[end - SHORTEST_PART : end]) in text]


@given(st.data(), LONG, st.lists(st.integers(0, 200)))
def test_any_cutting_of_any_text_gives_what_the_whole_gives(
    data: st.DataObject, secrets: list[str], at: list[int]
) -> None:
    pieces = LETTERS | st.sampled_from(secrets).flatmap(
        lambda one: st.integers(0, len(one)).map(lambda start: one[start:])
    )
    raw = "".join(data.draw(st.lists(pieces | st.just("\n"), max_size=6))).encode()
    masker = Masker(secrets)
    stream = StreamMasker(masker)
    places = [0, *sorted(min(place, len(raw)) for place in at), len(raw)]
    chunks = [raw[a:b] for a, b in itertools.pairwise(places)]
    assert b"".join([*map(stream.feed, chunks), stream.flush()]) == masker.data(raw)
    assert masker.text(raw.decode()) == masker.data(raw).decode()
    assert [p for one in secrets for p in parts_left(masker.text(raw.decode()), one)] == []


#: How tools cut and wrap a long text by themselves.
SHOWN: dict[str, Callable[[str], str]] = {
    "a table of pandas": lambda s: pd.DataFrame({"t": [s]}).to_html(),
    "a printed table of pandas": lambda s: str(pd.DataFrame({"t": [s]})),
    "reprlib": reprlib.repr,
    "base64 in lines": lambda s: base64.encodebytes(f"user:{s}".encode()).decode(),
    "a console": lambda s: textwrap.fill(s, 40),
    "a widget": lambda s: f"Dropdown(value='{s[:60]}…",
    "the middle cut out": lambda s: f"{s[:25]}<...>{s[-25:]}",
}


@pytest.mark.parametrize("shown", SHOWN)
def test_what_tools_leave_of_a_long_secret_is_hidden(shown: str) -> None:
    text = SHOWN[shown](TOKEN)
    masked = Masker([TOKEN]).text(text)
    assert "***" in masked
    for hidden in (TOKEN, base64.b64encode(f"user:{TOKEN}".encode()).decode()):
        assert parts_left(masked, hidden) == []
    stream = StreamMasker(Masker([TOKEN]))
    cut = b"".join([*(stream.feed(c.encode()) for c in text), stream.flush()]).decode()
    assert cut == masked


def test_short_parts_short_secrets_and_words_are_left() -> None:
    masker = Masker(
        [TOKEN, "short-enough-to-stay", "a text of words, however long it may be"]
    )
    text = f"{TOKEN[:15]} short-enough-to a text of words, however"
    assert masker.text(text) == text
    assert not Parts(["short-enough-to-stay"]) and Parts([TOKEN])


def test_a_line_is_given_out_when_it_ends() -> None:
    stream = StreamMasker(Masker([TOKEN]))
    assert stream.feed(f"{TOKEN[:40]}\n".encode()) == b"***\n"
    assert stream.feed(f"see {TOKEN[3:9]}".encode()) == b"see "
    assert stream.feed(b"!\n") == f"{TOKEN[3:9]}!\n".encode()
