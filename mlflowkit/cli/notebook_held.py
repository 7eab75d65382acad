"""`mlflowkit notebook open|held|release`: kernels of failed notebooks that are held."""

from __future__ import annotations

import typer

from mlflowkit.cli.run import JSON

TASK = typer.Argument(..., metavar="TASK", help="A task's id; of a mapped one, fit[2].")


def open_(
    run: str = typer.Argument(..., metavar="RUN", help="A run's id."),
    task: str = TASK,
    only_print: bool = typer.Option(
        False, "--print", help="Start nothing: say how a terminal gets at the kernel."
    ),
) -> None:
    """Open the kernel of a notebook that failed, in JupyterLab."""
    from mlflowkit.cli.console import say
    from mlflowkit.cli.places import the_home
    from mlflowkit.handles.run import RunHandle

    name, index = _instance(task)
    handle = RunHandle(run, the_home())[name]
    one = handle if index is None else handle[index]
    say(repr(one.open(lab=not only_print)))


def _instance(task: str) -> tuple[str, int | None]:
    """`fit`, or `fit[2]`."""
    name, _, index = task.removesuffix("]").partition("[")
    if index and not index.isdigit():
        raise typer.BadParameter(f"{task!r} is no task instance", param_hint="TASK")
    return name, int(index) if index else None


def held(json: bool = JSON) -> None:
    """List the kernels of failed notebooks that are held."""
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.nbrun.held import held_kernels

    found = held_kernels()
    if json:
        print_json([one.as_dict() for one in found])
        return
    for one in found:
        until = one.until.astimezone().strftime("%H:%M:%S")
        opened = ", open" if one.opened else ""
        say(
            f"{one.id}  {one.run_id} {one.task} cell {one.cell + 1}  "
            f"until {until}, {one.bytes / 2**20:.0f} MB{opened}  {one.error}"
        )
    if not found:
        say("no kernel is held")


def release(
    kernel: str = typer.Argument("", metavar="ID|RUN", help="As `notebook held` shows it."),
    task: str = typer.Argument("", metavar="TASK", help="Of that run: fit, or fit[2]."),
    everything: bool = typer.Option(False, "--all", help="All that are held."),
) -> None:
    """End kernels that are held; a retry that waits for one goes on."""
    from mlflowkit.cli.console import say
    from mlflowkit.nbrun import held as kernels

    if bool(kernel) == everything:
        raise typer.BadParameter("give one id, a run and a task, or --all", param_hint="ID")
    wanted = [one.id for one in kernels.held_kernels()] if everything else [kernel]
    if task:
        wanted = _of_task(kernel, task)
    ended = [one for one in wanted if kernels.release(one)]
    for one in ended:
        say(f"ended {one}")
    if kernel and not ended:
        named = f"{task} of {kernel}" if task else repr(kernel)
        raise typer.BadParameter(f"no kernel {named} is held", param_hint="ID")


def _of_task(run: str, task: str) -> list[str]:
    """The held kernels of a task instance; of a mapped task without an index: of all."""
    from mlflowkit.cli.places import the_home
    from mlflowkit.nbrun.held import held_kernels

    name, index = _instance(task)
    found = [one for one in held_kernels(the_home()) if one.run_id == run]
    return [
        one.id
        for one in found
        if one.task_id == name and (index is None or one.map_index == index)
    ]
