"""What every artifact store promises: subclass `ArtifactsContract` and give `make`."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflowkit.artifacts.base import Artifacts
from mlflowkit.artifacts.folders import Entry, write_index
from mlflowkit.errors import ArtifactMissing, BadFolder

HELLO = b"hello"
HELLO_HASH = hashlib.sha256(HELLO).hexdigest()


class ArtifactsContract:
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Artifacts]:
        """A function that opens the one store of this test, again at each call."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, make: Callable[[], Artifacts]) -> Artifacts:
        return make()

    def test_bytes_are_named_by_their_sha256(self, store: Artifacts) -> None:
        assert store.put_bytes(HELLO) == HELLO_HASH
        assert store.read(HELLO_HASH) == HELLO

    def test_what_was_put_is_there_for_another_opener(
        self, make: Callable[[], Artifacts]
    ) -> None:
        make().put_bytes(HELLO)
        assert make().read(HELLO_HASH) == HELLO

    def test_the_same_bytes_twice_are_stored_once(self, store: Artifacts) -> None:
        assert store.put_bytes(HELLO) == store.put_bytes(HELLO)
        assert list(store) == [HELLO_HASH]

    def test_no_bytes_are_bytes_too(self, store: Artifacts) -> None:
        assert store.read(store.put_bytes(b"")) == b""

    def test_a_file_and_its_bytes_are_the_same_artifact(
        self, store: Artifacts, tmp_path: Path
    ) -> None:
        (tmp_path / "h").write_bytes(HELLO)
        assert store.put_file(tmp_path / "h") == HELLO_HASH

    def test_a_stream_is_stored_as_what_was_written(self, store: Artifacts) -> None:
        assert (
            store.put_stream(lambda file: (file.write(b"hel"), file.write(b"lo")))
            == HELLO_HASH
        )

    def test_a_stream_that_raises_stores_nothing(self, store: Artifacts) -> None:
        def write(file: object) -> None:
            raise KeyError("stop")

        with pytest.raises(KeyError):
            store.put_stream(write)
        assert list(store) == []

    def test_the_path_is_a_local_file_with_the_bytes(self, store: Artifacts) -> None:
        digest = store.put_bytes(HELLO)
        assert store.path(digest, size=5).read_bytes() == HELLO

    def test_open_gives_a_file(self, store: Artifacts) -> None:
        with store.open(store.put_bytes(HELLO)) as file:
            assert (file.read(2), file.read()) == (b"he", b"llo")

    @pytest.mark.parametrize("digest", ["0" * 64, "../../etc/passwd", "A" * 64, ""])
    def test_an_unknown_hash_is_missing_for_every_reader(
        self, store: Artifacts, tmp_path: Path, digest: str
    ) -> None:
        for read in (store.path, store.open, store.read, store.verify):
            with pytest.raises(ArtifactMissing):
                read(digest)
        with pytest.raises(ArtifactMissing):
            store.restore_file(digest, tmp_path / "x")
        with pytest.raises(ArtifactMissing):
            store.restore_folder(digest, tmp_path / "x")
        assert not (tmp_path / "x").exists()

    def test_a_deleted_artifact_is_gone_and_deleting_it_again_is_no_error(
        self, store: Artifacts
    ) -> None:
        digest = store.put_bytes(HELLO)
        store.delete(digest)
        store.delete(digest)
        assert (store.has(digest), list(store)) == (False, [])

    def test_an_open_reader_survives_a_delete(self, store: Artifacts) -> None:
        digest = store.put_bytes(HELLO)
        with store.open(digest) as file:
            store.delete(digest)
            assert file.read() == HELLO

    def test_a_restored_file_is_private(self, store: Artifacts, tmp_path: Path) -> None:
        copy = store.restore_file(store.put_bytes(HELLO), tmp_path / "copy", mode=0o755)
        copy.write_bytes(b"changed")
        assert (store.read(HELLO_HASH), os.access(copy, os.X_OK)) == (HELLO, True)

    # ── folders ──

    def test_a_folder_comes_back_with_files_links_modes_and_empty_folders(
        self, store: Artifacts, tmp_path: Path
    ) -> None:
        source = tmp_path / "source"
        (source / "a" / "b").mkdir(parents=True)
        (source / "empty").mkdir()
        (source / "a" / "b" / "ü x.txt").write_text("deep")
        (source / "run.sh").write_text("#!/bin/sh\n")
        (source / "run.sh").chmod(0o755)
        (source / "a" / "link").symlink_to("../run.sh")
        odd = os.fsdecode(b"odd-\xff")
        (source / odd).write_bytes(b"")
        back = store.restore_folder(store.put_folder(source), tmp_path / "back")
        assert _tree(back) == _tree(source)
        assert os.access(back / "run.sh", os.X_OK)

    def test_the_same_content_has_the_same_hash_wherever_it_lies(
        self, store: Artifacts, tmp_path: Path
    ) -> None:
        for name, order in (("one", "ab"), ("two", "ba")):
            (tmp_path / name).mkdir()
            for letter in order:
                (tmp_path / name / letter).write_text(letter)
        assert store.put_folder(tmp_path / "one") == store.put_folder(tmp_path / "two")

    @pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
    def test_a_link_out_of_the_folder_is_refused_by_name_and_nothing_is_stored(
        self, store: Artifacts, tmp_path: Path, target: str
    ) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "fine.txt").write_text("fine")
        (source / "leak").symlink_to(target)
        with pytest.raises(BadFolder, match=r"'leak' is a link out of the folder"):
            store.put_folder(source)
        assert list(store) == []

    def test_a_socket_in_a_folder_is_refused(
        self, store: Artifacts, tmp_path: Path
    ) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "s"))
            with pytest.raises(BadFolder, match="not a file, folder or link"):
                store.put_folder(tmp_path)

    @pytest.mark.parametrize(
        "entries",
        [
            [Entry("../evil", "file", HELLO_HASH, False, 5)],
            [Entry("/evil", "file", HELLO_HASH, False, 5)],
            [Entry("a//evil", "file", HELLO_HASH, False, 5)],
            [Entry("evil", "link", "/etc")],
            [Entry("d", "link", "."), Entry("d/evil", "file", HELLO_HASH, False, 5)],
            [Entry("d", "link", "."), Entry("evil", "link", "d/d/../..")],
            [Entry("evil", "device")],  # type: ignore[arg-type]  # made by hand
        ],
    )
    def test_an_index_made_by_hand_cannot_leave_the_folder(
        self, store: Artifacts, tmp_path: Path, entries: list[Entry]
    ) -> None:
        store.put_bytes(HELLO)
        digest = store.put_bytes(write_index(entries))
        with pytest.raises(BadFolder):
            store.restore_folder(digest, tmp_path / "in" / "to")
        assert not (tmp_path / "in").exists() or list((tmp_path / "in").iterdir()) == []

    @pytest.mark.parametrize("data", [b"", b"[]", b'{"format":"other"}', b'{"entries":[]}'])
    def test_bytes_that_are_no_index_are_not_restored(
        self, store: Artifacts, tmp_path: Path, data: bytes
    ) -> None:
        with pytest.raises(BadFolder, match="index"):
            store.restore_folder(store.put_bytes(data), tmp_path / "to")


def _tree(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))
    }


def _content(path: Path) -> object:
    if path.is_symlink():
        return ("link", os.readlink(path))
    return "folder" if path.is_dir() else path.read_bytes()
