"""A kernel forked from a warm template, for an execution: whether one may be, and its handle.

Faithfulness before speed: where anything about the kernel that is asked for could not be
had after a fork as a cold start has it, `start` says why, and a cold one is started.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.nbrun import preload
from mlflowkit.nbrun.kernel_client import Lent, NoForkedKernel, StartOrder, connect, lend
from mlflowkit.nbrun.kernel_handle import KernelHandle
from mlflowkit.nbrun.kernel_place import Place, here
from mlflowkit.nbrun.kernel_shell import IN_MEMORY
from mlflowkit.nbrun.off_loop import beside
from mlflowkit.worker import elsewhere

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.kernelspec import KernelSpec

#: "off" starts every kernel cold.
ENV_FORKED: Final = "MLFLOWKIT_FORKED_KERNELS"
#: Variables that no module looks at when it is imported: they are set at the hand-over.
_LATE: Final = frozenset(
    {"PWD", "OLDPWD", "SHLVL", "_", "WINDOWID", "LINES", "COLUMNS", "TMUX", "TMUX_PANE"}
    | {"STY", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS", "COLORFGBG", "SESSION_MANAGER"}
)
_LATE_BEGIN: Final = (
    "MLFLOWKIT_",
    "JPY_",
    "JUPYTERHUB_",
    "SSH_",
    "XDG_SESSION",
    "XDG_VTNR",
    "XDG_SEAT",
    "TERM_",
    "VSCODE_",
    "PYTEST_",
    "GNOME_TERMINAL_",
)
#: Names of an interpreter in a kernel spec that mean this one.
_THIS_PYTHON: Final = frozenset(
    {
        "python",
        f"python{sys.version_info[0]}",
        f"python{sys.version_info[0]}.{sys.version_info[1]}",
    }
)
#: What an execution's kernels are told beside what their spec says.
OWN_ARGS: Final = (IN_MEMORY,)
_LAUNCH: Final = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
#: What was held ready shows its output channel at once.
_WELCOME_SECONDS: Final = 1.0
#: After the deadline of an orderly end, its keeper has this long.
_KEEPER_SECONDS: Final = 5.0


class ForkedKernel(KernelHandle):
    """A kernel whose keeper watches it; see `kernel_keeper`."""

    def __init__(self, client: AsyncKernelClient, lent: Lent, log: Path) -> None:
        super().__init__(client, lent.pid, log)
        self.lent, self.info, self.excluded = lent, lent.info, lent.excluded
        self.inside = lent.inside
        self._held = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(lent.fileno(), self._hear)

    def _hear(self) -> None:
        if self.lent.hear():
            self._loop.remove_reader(self.lent.fileno())
            self.peak_bytes = max(self.peak_bytes, self.lent.peak_bytes)
            self._is_over(self.lent.died or 0)

    async def interrupt(self) -> None:
        self.lent.interrupt()

    async def hold(
        self,
        seconds: float,
        facts: Mapping[str, Any],
        limits: Mapping[str, Any] | None = None,
    ) -> tuple[str, list[dict[str, Any]]]:
        """Leave it to the kernel server, which ends it after `seconds`.

        From now on this handle lets go of it instead of ending it.

        Returns:
            Its id for everybody (see `held`), and what is known of the kernels that had
            to end in its favour.

        Raises:
            NoForkedKernel: it cannot be held; why.
        """
        ended = await asyncio.to_thread(_hold, self.lent, seconds, facts, limits)
        self._held = True
        elsewhere.ended(self.lent.keeper)  # the attempt does not wait for it
        place = self.lent.server or here().folder
        return f"{place.name}.{self.lent.id}", ended

    async def _end(self, seconds: float) -> None:
        if not self.dead and not self._held:
            self.lent.ask_end(seconds)
            self.client.stop_channels()  # nobody listens any more; while it ends
            with suppress(TimeoutError):
                await asyncio.wait_for(self.died(), max(seconds, 0) + _KEEPER_SECONDS)
        if not self.dead:
            self._loop.remove_reader(self.lent.fileno())
        self.lent.close()
        self.client.stop_channels()
        elsewhere.ended(self.lent.keeper)


def _hold(
    lent: Lent,
    seconds: float,
    facts: Mapping[str, Any],
    limits: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    place = Place(lent.server) if lent.server is not None else None
    return connect(place).hold_in_place_of(lent, seconds, facts, limits)


async def start(
    spec: KernelSpec, cwd: Path, env: Mapping[str, str], log: Path, cells: Iterable[str]
) -> ForkedKernel:
    """A forked kernel for this spec, folder and environment, and for these cells.

    Raises:
        NoForkedKernel: it must be a cold one; why.
    """
    return await start_order(order(spec, cwd, env, cells, OWN_ARGS), log)


async def start_order(
    wish: StartOrder, log: Path, place: Place | None = None
) -> ForkedKernel:
    """The kernel of an order.

    Args:
        place: Of the server that has what it begins with; None: of new kernels.

    Raises:
        NoForkedKernel: it must be a cold one; why.
    """
    wish = replace(wish, inside=True)
    with log.open("ab") as out:
        lent = await beside(
            lambda: lend(wish, out.fileno(), out.fileno(), place), Lent.close
        )
    elsewhere.started(lent.keeper)
    client = client_of(lent.connection)
    kernel = ForkedKernel(client, lent, log)
    try:
        await heard(client)
    except BaseException:
        await kernel.end(0)
        raise
    return kernel


def client_of(connection: Mapping[str, Any]) -> AsyncKernelClient:
    """A client of a forked kernel, its channels open."""
    from jupyter_client.asynchronous.client import AsyncKernelClient

    client = AsyncKernelClient()
    told: Any = {**connection, "key": connection["key"].encode()}
    client.load_connection_info(told)
    client.start_channels(hb=False, stdin=False, control=False)
    return client


async def heard(client: AsyncKernelClient) -> None:
    """Wait until the output channel is known to be open: the kernel greets its listeners.

    Raises:
        TimeoutError: it does not, and does not answer either.
    """
    with suppress(Empty):
        while True:
            message = await client.iopub_channel.get_msg(timeout=_WELCOME_SECONDS)
            if message["msg_type"] == "iopub_welcome":
                return
    from mlflowkit.nbrun.kernels import first_words

    await asyncio.wait_for(first_words(client), _WELCOME_SECONDS * 10)


def order(
    spec: KernelSpec,
    cwd: Path,
    env: Mapping[str, str],
    cells: Iterable[str],
    args: tuple[str, ...],
) -> StartOrder:
    """What to ask the kernel server for.

    Args:
        spec: The kernel spec.
        cwd: Working folder of the kernel.
        env: Its whole environment, without what the spec sets.
        cells: Sources of the code cells that will run.
        args: Further words of the kernel's command line.

    Raises:
        NoForkedKernel: it must be a cold one; why.
    """
    whole = {**env, **spec.env}
    why = _why_cold(spec, whole)
    if why:
        raise NoForkedKernel(why)
    fixed = {name: value for name, value in whole.items() if not _is_late(name)}
    late = {name: value for name, value in whole.items() if _is_late(name)}
    return StartOrder(
        env=fixed,
        late_env=late,
        preload=preload.wanted(cells, cwd),
        args=(*spec.argv[5:], *args),
        cwd=cwd,
        umask=_umask(),
        late=_has_start_up_files(whole),
    )


def _is_late(name: str) -> bool:
    return name in _LATE or name.startswith(_LATE_BEGIN)


def _why_cold(spec: KernelSpec, env: Mapping[str, str]) -> str:
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        return "forked kernels need Linux"
    if os.environ.get(ENV_FORKED, "").lower() in ("off", "0", "no", "false"):
        return f"{ENV_FORKED} says so"
    program = spec.argv[0] if spec.argv else ""
    if spec.argv[1:5] != _LAUNCH:
        return f"its command is not ipykernel's ({' '.join(spec.argv)})"
    if program not in _THIS_PYTHON and not _is_this_python(program):
        return f"its interpreter is another one ({program})"
    if any("{" in word for word in spec.argv[5:]):
        return "its command has words that Jupyter fills in"
    if (spec.metadata or {}).get("kernel_provisioner"):
        name = spec.metadata["kernel_provisioner"].get("provisioner_name")
        if name != "mlflowkit":
            return f"its kernel spec names a provisioner of its own ({name})"
    entries = env.get("PYTHONPATH", "").split(os.pathsep) if env.get("PYTHONPATH") else []
    if any(not os.path.isabs(entry) for entry in entries):
        return "PYTHONPATH depends on the working folder"
    return ""


def _is_this_python(program: str) -> bool:
    """The same virtual environment: links to one interpreter may stand in several."""
    here, there = Path(sys.executable), Path(program)
    same_folder = here.parent.resolve() == there.parent.resolve()
    return same_folder and there.exists() and here.resolve() == there.resolve()


def _umask() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def _has_start_up_files(env: Mapping[str, str]) -> bool:
    """Whether a person's own code or configuration runs when IPython starts."""
    home = Path(env.get("IPYTHONDIR") or Path(env.get("HOME", "/"), ".ipython"))
    profile = home / "profile_default"
    folders = [profile, Path(sys.prefix, "etc/ipython"), Path("/etc/ipython")]
    folders.append(Path("/usr/local/etc/ipython"))
    if any(any(folder.glob("*_config.*")) for folder in folders):
        return True
    return any(file.suffix in (".py", ".ipy") for file in (profile / "startup").glob("*"))
