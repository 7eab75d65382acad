"""How long to look for broken laws: seconds for a change, minutes at night; and what comes first."""

from __future__ import annotations

import compileall
import os
import signal
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings

_QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much]
settings.register_profile(
    "dev",
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=_QUIET,
)
settings.register_profile("ci", settings.get_profile("dev"), max_examples=300)
settings.register_profile(
    "night", settings.get_profile("dev"), max_examples=20_000, stateful_step_count=80
)
settings.register_profile(  # for planted bugs: is it caught at all? No shrinking.
    "mutant",
    settings.get_profile("dev"),
    max_examples=600,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    database=None,
    derandomize=True,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
#: Many tests have notebooks fail; those that want their kernels held say so.
os.environ.setdefault("MLFLOWKIT_KEEP_FAILED_KERNEL", "PT0S")

#: Several tests run side by side, each with processes of its own: threads that wait for each
#: other in a spin would take the cores from all of them. Set before numpy and torch come.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HERE: Final = Path(__file__).parent
#: They take longest. Begun first, none of them is what all others wait for at the end.
_FIRST: Final = (
    "acceptance/test_demo.py",
    "acceptance/test_tutorial_styles.py",
    "ml/test_resnet.py",
    "ml/test_deploy_local.py",
    "chaos/test_failpoints.py",
    "chaos/test_random_kills.py",
    "ml/test_resnet_resume.py",
    "ml/test_serve.py",
    "nbrun/parity/test_parity_of_outputs.py",
    "nbrun/parity/test_parity_of_endings.py",
    "cli/test_scheduler.py",
    "cli/test_connections.py",
    "cli/test_one_task.py",
    "acceptance/test_airflow_meaning.py",
    "authoring/test_lint.py",
    "browser/test_jupyterlab.py",
    "stale/test_stale.py",
    "compat/test_processes.py",
    "acceptance/test_sensors_end_to_end.py",
    "engine/test_background.py",
    "nbrun/checkpoint/test_law.py",
)


#: What a shell has its jobs in the background ignore, and tests send.
_USUAL_SIGNALS: Final = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


def pytest_configure(config: pytest.Config) -> None:
    """Signals as usual, and the package compiled: thousands of processes import it, and none
    needs to compile it again, also where Python may not keep what it has compiled."""
    for number, usual in _USUAL_SIGNALS.items():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(_HERE.parent / "mlflowkit", quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; all others, and the tests of each, in their order."""
    places = {_HERE / name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
