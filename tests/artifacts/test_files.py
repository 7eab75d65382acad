"""The artifact store in a folder: the common promises, and those of a folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlflowkit.artifacts.base import Artifacts
from mlflowkit.artifacts.files import VERIFY_LIMIT, FileArtifacts
from mlflowkit.errors import ArtifactCorrupt, ArtifactNotStored
from tests.artifacts.contract import HELLO, HELLO_HASH, ArtifactsContract


class TestFileArtifacts(ArtifactsContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Artifacts]:
        return lambda: FileArtifacts(tmp_path / "artifacts")


class TestFileArtifactsOnDisk(ArtifactsContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Artifacts]:
        return lambda: FileArtifacts(tmp_path / "artifacts", fsync=True)


def place(store: FileArtifacts, digest: str) -> Path:
    return store.root / digest[:2] / digest[2:]


def damage(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def leftovers(store: FileArtifacts) -> list[str]:
    return os.listdir(store.root / "tmp")


def test_an_artifact_is_one_read_only_file_under_its_hash(store: FileArtifacts) -> None:
    store.put_bytes(HELLO)
    file = place(store, HELLO_HASH)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (HELLO, 0o444)
    assert leftovers(store) == []


def test_putting_again_makes_an_artifact_young_again(store: FileArtifacts) -> None:
    store.put_bytes(HELLO)
    os.utime(place(store, HELLO_HASH), (0, 0))
    store.put_bytes(HELLO)
    assert place(store, HELLO_HASH).stat().st_mtime > 0


@pytest.mark.parametrize("data", [b"", b"hell", b"hellO"])
def test_damaged_bytes_are_noticed_by_every_reader_and_healed_by_putting_them_again(
    store: FileArtifacts, tmp_path: Path, data: bytes
) -> None:
    readers: list[Callable[[], object]] = [
        lambda: store.read(HELLO_HASH),
        lambda: store.path(HELLO_HASH, size=5),
        lambda: store.path(HELLO_HASH),
        lambda: store.open(HELLO_HASH),
        lambda: store.verify(HELLO_HASH),
        lambda: store.restore_file(HELLO_HASH, tmp_path / "copy"),
    ]
    for read in readers:
        store.put_bytes(HELLO)
        damage(place(store, HELLO_HASH), data)
        with pytest.raises(ArtifactCorrupt, match="Run the task that made it again"):
            read()
        assert not store.has(HELLO_HASH)
    assert not (tmp_path / "copy").exists()
    store.put_bytes(HELLO)
    assert store.read(HELLO_HASH) == HELLO


def test_putting_heals_a_damaged_artifact_that_nobody_has_read(
    store: FileArtifacts,
) -> None:
    store.put_bytes(HELLO)
    damage(place(store, HELLO_HASH), b"hellO")
    store.put_bytes(HELLO)
    assert store.read(HELLO_HASH) == HELLO


def test_a_large_truncated_file_is_noticed_by_its_size(store: FileArtifacts) -> None:
    data = os.urandom(VERIFY_LIMIT + 10)
    digest = store.put_bytes(data)
    damage(place(store, digest), data[:-1])
    with pytest.raises(ArtifactCorrupt, match=f"bytes instead of {len(data)}"):
        store.path(digest, size=len(data))


def test_a_writer_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    code = """if True:
        import sys, time
        from pathlib import Path
        from mlflowkit.artifacts.files import FileArtifacts
        def write(file):
            file.write(b"half")
            print("writing", flush=True)
            time.sleep(60)
        FileArtifacts(Path(sys.argv[1])).put_stream(write)
    """
    root = tmp_path / "artifacts"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        assert len(leftovers(FileArtifacts(root))) == 1  # it lives: its file is left alone
        writer.send_signal(signal.SIGKILL)
    store = FileArtifacts(root)
    assert (leftovers(store), list(store)) == ([], [])


def test_many_processes_may_put_the_same_bytes_at_once(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from mlflowkit.artifacts.files import FileArtifacts
        sys.stdin.readline()
        for _ in range(30):
            for size in (5, 50_000, 2_000_000):
                store = FileArtifacts(Path(sys.argv[1]))
                digest = store.put_bytes(b"x" * size)
                assert len(store.read(digest)) == size
        print("good")
    """
    root = tmp_path / "artifacts"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda writer: writer.communicate("go\n", timeout=120)[0], writers)
        )
    store = FileArtifacts(root)
    assert answers == ["good\n"] * 4
    assert (len(list(store)), leftovers(store)) == (3, [])


def test_a_full_disk_is_said_in_words_and_leaves_nothing(store: FileArtifacts) -> None:
    def write(file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ArtifactNotStored, match=r"the disk is full.*mlflowkit clean"):
        store.put_stream(write)
    assert (leftovers(store), list(store)) == ([], [])


def test_a_really_full_disk_is_said_in_words(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the disk: the same write fails the same way."""
    code = """if True:
        import resource, signal, sys
        from pathlib import Path
        from mlflowkit.artifacts.files import FileArtifacts
        from mlflowkit.errors import ArtifactNotStored
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        store = FileArtifacts(Path(sys.argv[1]))
        try:
            store.put_bytes(b"x" * 1_000_000)
        except ArtifactNotStored as exc:
            print(exc.code, list(store), list((store.root / "tmp").iterdir()))
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "artifacts")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "artifact_not_stored [] []\n"


def test_a_root_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FileArtifacts(tmp_path / "file" / "artifacts")
    with pytest.raises(ArtifactNotStored, match=r"not a directory.*MLFLOWKIT_HOME"):
        store.put_bytes(HELLO)


def test_a_file_to_store_that_is_missing_is_the_callers_error(
    store: FileArtifacts, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "nowhere")
    assert list(store) == []
