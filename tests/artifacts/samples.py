"""Classes of an importable module, for values that travel by name."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple


class Colour(Enum):
    RED = 1
    GREEN = (1, 2)


class Level(IntEnum):
    LOW = 1


class Name(StrEnum):
    ANNA = "anna"


class Rights(Flag):
    READ = 1
    WRITE = 2


@dataclass
class Point:
    x: float
    y: float = 0.0
    more: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    name: str
    at: Point


@dataclass
class Upload:
    file: Path


@dataclass
class Cached:
    x: int

    def remember(self) -> None:
        self.seen = True


class Pair(NamedTuple):
    left: Any
    right: Any = None


class MyList(list[Any]):
    pass


class Service:
    def __init__(self) -> None:
        self.lock = threading.Lock()
