"""Secrets are hidden in whole texts and in streams, however a stream is cut."""

from __future__ import annotations

import html
import itertools
import json
import re
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote
from xml.dom import minidom
from xml.etree import ElementTree

import jinja2
import markupsafe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflowkit.core.connection import Connection
from mlflowkit.core.masking import (
    Masker,
    StreamMasker,
    TextStreamMasker,
    looks_secret,
    masked_by_name,
    secrets_by_name,
)

#: Few letters, so that secrets begin, overlap and nearly end everywhere.
LETTERS = st.text("abé", min_size=0, max_size=40)
SECRETS = st.lists(st.text("abé", min_size=5, max_size=9), min_size=1, max_size=4)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(
    SECRETS,
    st.lists(LETTERS | SECRETS.map("".join), max_size=5),
    st.lists(st.integers(0, 120)),
)
def test_any_cutting_of_any_text_gives_what_the_whole_gives(
    secrets: list[str], parts: list[str], at: list[int]
) -> None:
    data = "".join(parts).encode()
    masker = Masker(secrets)
    stream = StreamMasker(masker)
    given_out = b"".join(stream.feed(chunk) for chunk in cut(data, at)) + stream.flush()
    assert given_out == masker.data(data)


@given(SECRETS, st.lists(LETTERS | SECRETS.map("".join), max_size=5))
def test_no_secret_is_left_in_a_masked_text(secrets: list[str], parts: list[str]) -> None:
    masked = Masker(secrets).text("".join(parts))
    assert [secret for secret in secrets if secret in masked] == []


@given(st.text(max_size=60), st.lists(st.integers(0, 60)))
def test_without_secrets_nothing_is_changed_or_kept_back(text: str, at: list[int]) -> None:
    stream = StreamMasker(Masker())
    data = text.encode(errors="replace")
    assert [stream.feed(chunk) for chunk in cut(data, at)] == cut(data, at)


def test_only_what_may_begin_a_secret_is_kept_back() -> None:
    stream = StreamMasker(Masker(["hunter2hunter2"]))
    assert stream.feed(b"a line\nhunt") == b"a line\n"
    assert stream.feed(b"ing season\n") == b"hunting season\n"
    assert stream.feed(b"hunter2") == b""
    assert stream.feed(b"hunter2!") == b"***!"
    assert stream.flush() == b""


def test_the_longer_of_two_secrets_that_begin_alike_is_hidden_whole() -> None:
    stream = StreamMasker(Masker(["secret", "secret-and-more"]))
    assert stream.feed(b"secret") + stream.feed(b"-and-more.") + stream.flush() == b"***."
    assert stream.feed(b"secret-and-less") + stream.flush() == b"***-and-less"


def test_a_secret_that_is_learned_while_a_stream_flows_is_hidden_from_then_on() -> None:
    masker = Masker()
    stream = StreamMasker(masker)
    assert stream.feed(b"hunter2 ") == b"hunter2 "
    masker.add(["hunter2"])
    assert stream.feed(b"hunter2 ") == b"*** "


def test_characters_of_several_bytes_are_never_torn() -> None:
    stream = TextStreamMasker(Masker(["größe€"]))
    assert [stream.feed(c) for c in "x größe€ grö"] == [
        "x",
        " ",
        *[""] * 5,
        "***",
        " ",
        *[""] * 3,
    ]
    assert stream.flush() == "grö"


@pytest.mark.parametrize(
    "written",
    [
        "pa/ss w\"ö'rd\\",
        "pa%2Fss%20w%22%C3%B6%27rd%5C",  # in a URI
        "pa%2fss%20w%22%c3%b6%27rd%5c",
        "pa%2Fss+w%22%C3%B6%27rd%5C",  # in a query
        json.dumps("pa/ss w\"ö'rd\\")[1:-1],
        json.dumps("pa/ss w\"ö'rd\\", ensure_ascii=False)[1:-1],
        repr("pa/ss w\"ö'rd\\")[1:-1],
        "cGEvc3Mgd8O2J3JkXA==",  # base64, of the one below
    ],
)
def test_a_secret_is_hidden_in_every_way_it_is_written(written: str) -> None:
    masker = Masker(["pa/ss w\"ö'rd\\", "pa/ss wö'rd\\"])
    assert masker.text(f"<{written}>") == "<***>"
    assert masker.data(f"<{written}>".encode()) == b"<***>"


def _by_minidom(text: str) -> str:
    document = minidom.Document()
    document.appendChild(document.createElement("text")).appendChild(
        document.createTextNode(text)
    )
    return document.toxml()


def _in_attribute(text: str) -> str:
    return ElementTree.tostring(ElementTree.Element("a", {"b": text})).decode()


#: How libraries write it, by themselves: the same text goes into each.
WRITERS: dict[str, Callable[[str], str]] = {
    "a repr of a text with other quotation marks": lambda s: repr({"h": f'x "{s}" \'y'}),
    "a repr of bytes": lambda s: repr([s.encode(), f'"{s}"'.encode()]),
    "ascii": lambda s: ascii([s, '"' + s]),
    "JSON in JSON": lambda s: json.dumps(json.dumps({"a": s})),
    "JSON in an attribute of HTML": lambda s: html.escape(json.dumps([s])),
    "JSON of other languages": lambda s: json.dumps([s]).replace("/", "\\/"),
    "JSON in a page, by Jinja": lambda s: jinja2.Template("{{ s|tojson }}").render(s=s),
    "JSON in a page, by plotly": lambda s: re.sub(
        "[<>/]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps([s])
    ),
    "HTML, by Jinja and pandas": lambda s: str(markupsafe.escape(s)),
    "SVG, by minidom": _by_minidom,
    "an attribute of XML": _in_attribute,
    "ASCII HTML": lambda s: html.escape(s).encode("ascii", "xmlcharrefreplace").decode(),
    "HTML in a repr": lambda s: repr(html.escape(s)),
    "a way in an address in an address": lambda s: quote(quote(f"/a/{s}")),
    "an address in an address": lambda s: quote(f"http://h/?a={quote(s)}", safe=""),
    "an address, by JavaScript": lambda s: quote(s, safe="!*'()"),
    "an address, by SQLAlchemy": lambda s: quote(s, safe=" +"),
}


@pytest.mark.parametrize("written", WRITERS)
def test_a_secret_is_hidden_as_libraries_write_it(written: str) -> None:
    secret = "tk&Q <x>/Z'Y\"ünu\\k8"
    line = WRITERS[written](secret)
    masked = Masker([secret]).text(line)
    assert "***" in masked
    assert [part for part in ("tk", "nu", "k8") if part in masked] == []
    cut = TextStreamMasker(Masker([secret]))
    assert "".join([*map(cut.feed, line), cut.flush()]) == masked


#: How it is written where none of its letters is left.
ENCODERS: dict[str, Callable[[str], str]] = {
    "an address in which all is escaped": lambda s: "".join(
        f"%{b:02X}" for b in s.encode()
    ),
    "base64 in an address": lambda s: quote(b64encode(s.encode()).decode(), safe=""),
    "hex": lambda s: s.encode().hex(),
    "hex, by others": lambda s: s.encode().hex().upper(),
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_secret_is_hidden_where_none_of_its_letters_is_left(encoder: str) -> None:
    secret = "tk&Q >>>?ünu\\k8"
    assert Masker([secret]).text(f"<{ENCODERS[encoder](secret)}>") == "<***>"


def test_a_line_of_a_key_file_is_a_secret_by_itself_and_a_line_of_words_is_not() -> None:
    lines = ("-----BEGIN A KEY-----", "MIIEowIBAAKCAQEAx7", "short", "and so on and on")
    masked = Masker(["\n".join(lines)])
    printed = "\n".join(f"> {line}" for line in lines)
    assert masked.text(printed) == printed.replace(lines[1], "***")


def test_a_text_with_half_a_character_is_hidden_too() -> None:
    for half in ("\ud800", "\udcff"):
        assert Masker([f"{half}secret"]).text(f"<{half}secret>") == "<***>"


def test_blanks_around_a_secret_are_no_part_of_it() -> None:
    masker = Masker([" from-a-file\n"])
    assert masker.text("['from-a-file'] from-a-file\n") == "['***'] ***\n"
    assert Masker().add(["four\n\n"]) == []


def test_a_secret_of_fewer_than_five_characters_is_refused() -> None:
    masker = Masker()
    assert masker.add(["four", "     ", "", "fiver"]) == ["fiver"]
    assert masker.text("four      fiver") == "four      ***"


def test_a_masked_line_of_json_is_still_json() -> None:
    masker = Masker(["nabcde"])
    line = json.dumps({"text": "a\nabcde nabcde"}).encode()
    assert json.loads(masker.json_line(line)) == {"text": "a\nabcde ***"}
    assert masker.json_line(b'{"a": 1}') == b'{"a": 1}'


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "db_passwd",
        "my-secret",
        "Authorization",
        "api_key",
        "x_apikey",
        "aws_session_token",
        "ACCESS_TOKEN",
        "private_key",
        "private_key_passphrase",
        "keyfile_json",
        "service_account",
    ],
)
def test_names_that_look_secret(name: str) -> None:
    assert looks_secret(name)


def test_names_that_do_not() -> None:
    assert [n for n in ("host", "region_name", "key", "login", "") if looks_secret(n)] == []


def test_secrets_are_found_at_any_depth_and_in_json_texts() -> None:
    extra = {
        "region": "eu",
        "nested": {"api_key": "k1", "list": [{"token": ["t1", "t2"]}]},
        "keyfile_dict": '{"private_key": "pk", "type": "x"}',
    }
    found = ["k1", "t1", "t2", '{"private_key": "pk", "type": "x"}', "pk"]
    assert list(secrets_by_name(extra)) == found
    assert masked_by_name(extra) == {
        "region": "eu",
        "nested": {"api_key": "***", "list": [{"token": "***"}]},
        "keyfile_dict": "***",
    }


def test_a_connection_names_its_secrets() -> None:
    connection = Connection("c", "aws", password="pw", extra={"a": 1, "secret": "s"})
    assert connection.secrets() == ["pw", "s"]
    assert Connection("c", "aws").secrets() == []


def test_a_connection_in_json_comes_back_with_its_description() -> None:
    connection = Connection("c", "http", "h", extra={"a": [1]}, description="d")
    assert Connection.from_json("c", connection.to_json()) == connection
    assert connection.facts() == {
        "conn_type": "http",
        "description": "d",
        "host": "h",
        "extra": {"a": [1]},
    }
