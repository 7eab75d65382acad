"""The memory that a process may have, as each version of control groups tells it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlflowkit.worker.memory_group import MemoryGroup
from tests.memory_groups import small_group

MIB = 2**20


def _system(tmp_path: Path, groups: str, files: dict[str, str]) -> MemoryGroup:
    for name, text in {"proc/7/cgroup": groups, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return MemoryGroup.of(7, tmp_path / "sys", tmp_path / "proc")


def test_the_smallest_limit_of_all_groups_around_a_process_counts(tmp_path: Path) -> None:
    files = {
        "sys/user.slice/memory.max": f"{400 * MIB}\n",
        "sys/user.slice/memory.events": "oom 9\noom_kill 8\n",
        "sys/user.slice/app.scope/memory.max": "max\n",
        "sys/user.slice/app.scope/memory.events": "low 0\noom 3\noom_kill 2\n",
        "proc/vmstat": "nr_free_pages 7\noom_kill 50\n",
    }
    group = _system(tmp_path, "0::/user.slice/app.scope\n", files)
    assert (group.limit(), group.kills()) == (400 * MIB, 2)


def test_in_the_older_version_no_limit_is_a_very_large_number(tmp_path: Path) -> None:
    files = {
        "sys/memory/box/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/memory/box/memory.oom_control": "under_oom 0\noom_kill 4\n",
        "sys/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    group = _system(tmp_path, "8:pids:/\n4:cpu,memory:/box\n0::/\n", files)
    assert (group.limit(), group.kills()) == (0, 4)


def test_in_a_container_whose_groups_begin_outside_its_own_root_counts(
    tmp_path: Path,
) -> None:
    files = {"sys/memory.max": f"{MIB}\n", "proc/vmstat": "oom_kill 5\n"}
    group = _system(tmp_path, "0::/docker/0123abc\n", files)
    assert (group.limit(), group.kills()) == (MIB, 5)


def test_where_the_system_tells_nothing_there_is_no_limit(tmp_path: Path) -> None:
    nowhere = MemoryGroup.of(7, tmp_path, tmp_path)
    assert (nowhere.folders, nowhere.limit(), nowhere.kills()) == ((), 0, 0)


TAKES = "import sys; sys.stdin.read(1); big = b'x' * (400 * 2**20)"


def test_a_group_of_this_system_counts_the_kills_in_it() -> None:
    with small_group(100 * MIB) as enter:
        if enter is None:
            pytest.skip("this system lets nobody here make a group with less memory")
        command = [sys.executable, "-c", TAKES]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, preexec_fn=enter)
        group, outside = MemoryGroup.of(process.pid), MemoryGroup.of(os.getpid())
        before = group.kills(), outside.kills()
        process.communicate(b"!", timeout=120)
        assert process.returncode == -9
        assert group.limit() == 100 * MIB
        assert group.kills() == before[0] + 1
        assert outside.kills() == before[1]
