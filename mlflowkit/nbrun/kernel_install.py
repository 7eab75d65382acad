"""Writes the kernel spec that asks Jupyter for our provisioner."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from mlflowkit.errors import KernelNotInstalled


def install(name: str, display_name: str, *, user: bool, prefix: Path | None) -> Path:
    """Install a kernel spec for this interpreter. The same name again replaces it.

    Args:
        name: Of the spec: letters, digits, `.`, `_`, `-`.
        display_name: What Jupyter shows.
        user: For this user alone; else under `prefix`, or in this environment.
        prefix: A folder; `share/jupyter/kernels` is made in it.

    Returns:
        Where it is.

    Raises:
        KernelNotInstalled: the name is no name, or the folder cannot be written.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    from mlflowkit.nbrun.provisioner import spec_of_this

    manager = KernelSpecManager()
    where = None if user else str(prefix or sys.prefix)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        spec = Path(folder, "kernel.json")
        spec.write_text(json.dumps(spec_of_this(display_name), indent=1) + "\n")
        try:
            found = manager.install_kernel_spec(folder, name, user=user, prefix=where)
        except (OSError, ValueError) as exc:
            raise KernelNotInstalled(name, str(exc)) from exc
    return Path(found)
