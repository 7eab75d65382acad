"""Kernels inherit from whoever needs them, and not from whoever started the kernel server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mlflowkit.nbrun import kernel_client
from tests.nbrun.conftest import code, save

RUNS = """
import os, resource, sys
nice, files = map(int, sys.argv[1:])
os.nice(nice)
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
from mlflowkit.testing import run_notebook
done = run_notebook("nb.ipynb", returns=["nice", "files"])
print(done["nice"], done["files"])
"""
ASKS = """
import os, resource
nice, files = os.nice(0), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""


def test_priority_and_limits_are_those_of_the_process_that_runs_the_notebook(
    tmp_path: Path,
) -> None:
    save(tmp_path / "nb.ipynb", code(ASKS))
    (places := tmp_path / "t").mkdir()
    env = {**os.environ, "TMPDIR": str(places), kernel_client.ENV_IDLE: "1"}
    for nice, files in ((3, 500), (0, 600)):
        told = subprocess.run(
            [sys.executable, "-c", RUNS, str(nice), str(files)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        assert told.stdout == f"{os.nice(0) + nice} {files}\n"
