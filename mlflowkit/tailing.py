"""Files of attempts that grow while somebody looks at them: journals and logs."""

from __future__ import annotations

from pathlib import Path

from mlflowkit.core.spec import instance_name

MAX_READ_BYTES = 4 * 1024 * 1024


class Tail:
    """The new whole lines of a growing file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset, self._rest = 0, b""

    def lines(self) -> list[bytes]:
        """Lines that were ended since the last call; a file that is not there has none."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(MAX_READ_BYTES)
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return whole

    def rest(self) -> list[bytes]:
        """What is there and has no end of line, once nothing more comes."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def file_name(task_id: str, map_index: int, attempt: int) -> str:
    """The name of an attempt's files, without suffix."""
    return f"{instance_name(task_id, map_index)}.{attempt}"
