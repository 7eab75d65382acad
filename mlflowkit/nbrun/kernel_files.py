"""The files of modules that a template has imported, and whether they are still the same.

What is installed anew is seen by its folder; this is for a file that somebody edits where
it lies. The system notes what changes (inotify), so that asking costs nothing; where it
does not, files are looked at. In the template for its list, in the kernel server for the
rest. Opens no file.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Final

#: Without inotify, files are looked at this often at most: a thousand take milliseconds.
_SEEN_SECONDS: Final = 1.0
#: Of inotify(7): a file was written to, moved here or away, or deleted; events were lost.
_CHANGES: Final = 0x2 | 0x40 | 0x80 | 0x200
_LOST: Final = 0x4000
_EVENT: Final = struct.Struct("iIII")
#: Room for many events; each one has a name of 255 bytes at most.
_ROOM: Final = 64 * 1024
#: Time of its last change in nanoseconds, and size.
State = list[int]
_libc: Final = ctypes.CDLL(None, use_errno=True)


def imported() -> dict[str, State]:
    """In a template: each module's file that is no part of Python itself, as it is now."""
    library = os.path.dirname(os.__file__) + os.sep
    site = os.path.join(library, "site-packages") + os.sep
    found: dict[str, State] = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not os.path.isabs(file):
            continue
        if file.startswith(site) or not file.startswith(library):
            found[file] = state(file)
    return found


def state(file: str) -> State:
    """Of one file; empty if there is none."""
    try:
        told = os.stat(file)
    except OSError:
        return []
    return [told.st_mtime_ns, told.st_size]


class Imported:
    """In the kernel server: the files of one template.

    Args:
        files: As `imported` told them.
        noted: Have the system note changes; for tests: False.
    """

    def __init__(self, files: Mapping[str, State], *, noted: bool = True) -> None:
        self._files = files
        self._inotify = -1
        #: Of each folder that is watched: what was imported from it.
        self._names: dict[int, set[str]] = {}
        if noted and files:
            self._note_changes()
        self._changed = self._look()  # since then, or before it was noted
        self._seen_at = monotonic()

    def changed(self) -> bool:
        """Whether one of them is another one now; without inotify, or was a moment ago."""
        if self._changed:
            return True
        if self._inotify >= 0:
            self._changed = any(self._concerns(*event) for event in self._events())
        elif monotonic() - self._seen_at >= _SEEN_SECONDS:
            self._changed, self._seen_at = self._look(), monotonic()
        return self._changed

    def close(self) -> None:
        """Have nothing noted any more. Twice is once."""
        if self._inotify >= 0:
            os.close(self._inotify)
            self._inotify = -1

    def _look(self) -> bool:
        return any(state(file) != was for file, was in self._files.items())

    def _note_changes(self) -> None:
        self._inotify = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for file in self._files if self._inotify >= 0 else ():
            folder, name = os.path.split(file)
            watch = _libc.inotify_add_watch(self._inotify, os.fsencode(folder), _CHANGES)
            if watch < 0:  # the folder is gone, or the system notes no more
                self.close()
                return
            self._names.setdefault(watch, set()).add(name)

    def _concerns(self, watch: int, mask: int, name: str) -> bool:
        return bool(mask & _LOST) or name in self._names.get(watch, ())

    def _events(self) -> Iterator[tuple[int, int, str]]:
        while True:
            try:
                data = os.read(self._inotify, _ROOM)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size
                yield watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
                at += length
