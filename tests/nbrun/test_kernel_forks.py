# mypy: allow-untyped-calls
"""What a fork could spoil in a kernel, and does not: random numbers, threads, native pools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.nbrun.kernels import OwnServer, is_gone, say, talking, wait_until

#: Every source of random numbers that a cell has without a seed.
DRAWS = """import json, random, secrets, tempfile, uuid, numpy as np, torch
print(json.dumps([
    random.random(), random.SystemRandom().random(), np.random.random(), np.random.default_rng().random(),
    float(torch.rand(1, dtype=torch.float64)), str(uuid.uuid4()), str(uuid.uuid1()), secrets.token_hex(), tempfile.mktemp(),
]))"""
SEEDED = """random.seed(1); np.random.seed(1); torch.manual_seed(1)
print(json.dumps([random.random(), np.random.random(), float(torch.rand(1))]))"""
#: Work that libraries share out among native threads, in a process that was forked.
NATIVE = """import threading, numpy as np, torch
x = np.ones((600, 600))
assert (x @ x)[0, 0] == 600 and np.linalg.svd(x)[1][0].round() == 600
torch.set_num_threads(2)
y = torch.ones(600, 600, requires_grad=True)
(y @ y).sum().backward()
assert float(y.grad[0, 0]) == 1200
found = []
threads = [threading.Thread(target=lambda: found.append(float((torch.ones(300, 300) @ torch.ones(300, 300))[0, 0]))) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
pairs = torch.utils.data.DataLoader(list(range(8)), batch_size=4, num_workers=2)
print(found, [batch.tolist() for batch in pairs], torch.get_num_threads())"""
LAST_WISHES = """import atexit, weakref
from torch import library as operators
class Thing:
    def __del__(self): open({0!r}, 'a').write('deleted ')
thing = Thing()
other = torch.ones(2)
weakref.finalize(other, lambda: open({0!r}, 'a').write('finalized '))
atexit.register(lambda: open({0!r}, 'a').write('exit '))
operators.define('mine::twice', '(Tensor x) -> Tensor')
file = open({0!r} + '.open', 'w'); file.write('unflushed');"""


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    own = OwnServer()
    yield own
    own.close()


@pytest.fixture(scope="module")
def torch_kernels(server: OwnServer) -> Iterator[list[Any]]:
    """Three kernels of one template that has imported numpy and torch."""
    lents = [server.start("numpy", "torch") for _ in range(3)]
    yield lents
    for lent in lents:
        lent.close()


def test_forks_of_one_template_draw_different_numbers_unless_they_are_seeded(
    torch_kernels: list[Any],
) -> None:
    drawn, seeded = [], []
    for lent in torch_kernels:
        assert lent.excluded == {}
        with talking(lent) as client:
            drawn.append(json.loads(say(client, DRAWS)))
            seeded.append(json.loads(say(client, SEEDED)))
    for source in zip(*drawn, strict=True):
        assert len(set(source)) == len(torch_kernels), source
    assert seeded[0] == seeded[1] == seeded[2]


def test_native_threads_work_in_a_fork_and_its_last_wishes_are_heard(
    torch_kernels: list[Any], tmp_path: Path
) -> None:
    lent = torch_kernels[0]
    with talking(lent) as client:
        said = say(client, NATIVE)
        assert said == "[300.0, 300.0, 300.0] [[0, 1, 2, 3], [4, 5, 6, 7]] 2\n"
        path = tmp_path / "wishes"
        assert say(client, LAST_WISHES.format(str(path))) == ""
    assert lent.end(60) == 0
    assert path.read_text().split()[0] == "exit"
    assert set(path.read_text().split()) == {"exit", "deleted", "finalized"}
    assert Path(f"{path}.open").read_text() == "unflushed"


#: What a kernel says of itself that is made ahead in its template, where that may be.
ALIKE = """import json, sys
from ipykernel.connect import get_connection_file
shell = get_ipython(); app = shell.kernel.parent
print(json.dumps([
    get_connection_file() == app.abs_connection_file == shell.config['IPKernelApp']['connection_file'],
    shell.parent is shell.kernel, shell.kernel.shell is shell, shell.user_ns is globals(),
    shell.config is app.config, shell.history_manager.hist_file, shell.history_manager.session_number,
    [type(c).__name__ for c in shell.configurables], shell.profile_dir.location == app.profile_dir.location,
    sys.stdout is shell._orig_sys_module_state['stdout'], sorted(shell.user_ns_hidden), shell.execution_count,
    type(shell.display_pub.session).__name__, shell.display_pub.session is app.session, app.session.key == shell.kernel.session.key,
    sorted(k for k in shell.kernel._trait_values), len(shell.kernel._kernel_modules) > 100,
]))"""


def test_a_kernel_made_ahead_in_its_template_is_one_that_was_set_up_alone(
    server: OwnServer, tmp_path: Path
) -> None:
    """A late one is set up after it was handed over, as ipykernel does it."""
    told, keys = [], set()
    for late in (False, False, True):
        lent = server.start(late=late, cwd=tmp_path)
        keys.add(lent.connection["key"])
        with talking(lent) as client:
            told.append(json.loads(say(client, ALIKE)))
        assert lent.end(60) == 0
    assert told[0] == told[1] == told[2]
    assert len(keys) == 3


def test_where_nothing_can_be_made_ahead_kernels_are_set_up_one_by_one(
    server: OwnServer, tmp_path: Path
) -> None:
    """Here, the template has a thread that its forks would lose."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, threading\nif 'kernel_template' in sys.orig_argv[2:3][0]:\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    lent = server.start(PYTHONPATH=str(tmp_path))
    with talking(lent) as client:
        made = "from mlflowkit.nbrun import kernel_shell; print(kernel_shell.is_made())"
        assert say(client, made) == "False\n"
    assert lent.end(60) == 0


def test_ready_kernels_are_made_again_and_a_dozen_at_once_are_no_fewer(
    server: OwnServer,
) -> None:
    with ThreadPoolExecutor(12) as pool:
        lents = list(pool.map(lambda _: server.start(), range(12)))
    assert len({lent.pid for lent in lents}) == 12
    assert len({lent.connection["ip"] for lent in lents}) == 12
    for lent in lents:
        lent.close()
    for lent in lents:
        wait_until(partial(is_gone, lent.pid), "it was left")
