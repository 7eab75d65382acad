"""`mlflowkit install-kernel`: a kernel spec with which Jupyter gets forked kernels."""

from __future__ import annotations

from pathlib import Path

import typer


def install_kernel(
    name: str = typer.Option("mlflowkit", "--name", help="Name of the kernel spec."),
    display_name: str = typer.Option(
        "Python 3 (mlflowkit)", "--display-name", help="What Jupyter shows."
    ),
    user: bool = typer.Option(False, "--user", help="For this user alone."),
    sys_prefix: bool = typer.Option(
        False, "--sys-prefix", help="For this environment (if nothing else is said)."
    ),
    prefix: Path | None = typer.Option(None, "--prefix", help="Under this folder."),
) -> None:
    """Add a kernel to Jupyter that starts in milliseconds, for JupyterLab, papermill, nbclient."""
    if sum([user, sys_prefix, prefix is not None]) > 1:
        raise typer.BadParameter("give one of --user, --sys-prefix and --prefix")
    from mlflowkit.nbrun import kernel_install

    folder = kernel_install.install(name, display_name, user=user, prefix=prefix)
    typer.echo(f"kernel {name!r} is installed in {folder}")
