"""The pages of a template's memory that its kernels write, copied before anybody waits.

A fork shares its template's memory until it writes: each first write to a page stops it
for a copy, and a cell that makes one data frame stops hundreds of times. Kernels of one
template write much the same pages, whatever their cells do (reference counts, caches). So
a kernel notes at its end what it wrote, and those that are made after it copy these pages
while they wait. Never changes what a page holds.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from array import array
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, Final

_PAGE: Final = mmap.PAGESIZE
#: Of one kernel, at most: 16 MiB of pages that are usual.
MOST: Final = 16 * 2**20 // _PAGE
#: In Linux since 5.14; before that, nothing is copied ahead.
_MADV_POPULATE_WRITE: Final = 23
#: Of an entry of /proc/PID/pagemap: present, and mapped by this process alone.
_PRESENT, _ALONE = 1 << 63, 1 << 63 | 1 << 56
_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class WrittenPages:
    """Made in a template; its forks share what they note.

    Attributes:
        runs: Address and number of pages of each piece of private memory that it has.
    """

    def __init__(self) -> None:
        with open("/proc/self/pagemap", "rb") as pagemap:
            self.runs = [
                run for area in _private_areas() for run in _present(pagemap, area)
            ]
        #: A byte for each page, of all runs in their order: 1 if the latest kernel wrote it.
        self._noted = mmap.mmap(-1, max(1, sum(pages for _, pages in self.runs)))

    def note(self) -> int:
        """In a kernel, at its end. Returns how many pages it has of its own by now."""
        at = 0
        with open("/proc/self/pagemap", "rb") as pagemap:
            for address, pages in self.runs:
                entries = _entries(pagemap, address, pages)
                wrote = bytes(entry & _ALONE == _ALONE for entry in entries)
                self._noted[at : at + len(wrote)] = wrote
                at += pages
        return self._noted[:].count(1)

    def copy_ahead(self) -> int:
        """In a kernel that waits. Returns how many pages were copied."""
        at = copied = 0
        noted = self._noted[:]
        for address, pages in self.runs:
            for found in re.finditer(rb"\x01+", noted[at : at + pages]):
                length = min(found.end() - found.start(), MOST - copied)
                begin = address + found.start() * _PAGE
                if not length:
                    return copied
                if not _libc.madvise(begin, length * _PAGE, _MADV_POPULATE_WRITE):
                    copied += length  # else it is no longer there
            at += pages
        return copied


_remembered: Final[list[WrittenPages]] = []


def remember() -> None:
    """In a template, before its first fork: have its kernels note what they write."""
    with suppress(OSError):  # this system does not tell
        _remembered.append(WrittenPages())


def copy_ahead() -> None:
    """In a kernel that waits: see `WrittenPages`."""
    for pages in _remembered:
        pages.copy_ahead()


def note() -> None:
    """In a kernel that is over: see `WrittenPages`."""
    for pages in _remembered:
        with suppress(OSError):
            pages.note()


def _private_areas() -> Iterator[tuple[int, int]]:
    """Beginning and end of each area of memory that this process may write alone."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            area, rights, *_, name = [*line.split(maxsplit=5), ""][:6]
            if rights == "rw-p" and not name.startswith("[stack"):
                begin, end = (int(part, 16) for part in area.split("-"))
                yield begin, end


def _present(pagemap: BinaryIO, area: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The pieces of an area that are in memory: address and number of pages."""
    begin, end = area
    entries = _entries(pagemap, begin, (end - begin) // _PAGE)
    there = bytes(entry & _PRESENT != 0 for entry in entries)
    for found in re.finditer(rb"\x01+", there):
        yield begin + found.start() * _PAGE, found.end() - found.start()


def _entries(pagemap: BinaryIO, address: int, pages: int) -> array[int]:
    entries = array("Q")
    pagemap.seek(address // _PAGE * entries.itemsize)
    entries.frombytes(pagemap.read(pages * entries.itemsize))
    return entries
