# mypy: allow-untyped-calls
"""A kernel for a small language that is not Python: `name=1` assigns, `out name` hands on.

Run as `python counting_kernel.py -f CONNECTION_FILE`; it shows what a kernel of any
language has to send so that its values become XComs.
"""

from __future__ import annotations

from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

OUTPUTS = "application/vnd.mlflowkit.outputs+json"


class CountingKernel(Kernel):
    """Speaks Jupyter's protocol, and knows nothing of mlflowkit."""

    implementation = "counting"
    implementation_version = "1"
    language = "bash"
    banner = ""
    language_info = {"name": "bash", "mimetype": "text/plain", "file_extension": ".sh"}  # noqa: RUF012

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.names: dict[str, int] = {}

    def do_execute(  # type: ignore[override]  # ipykernel takes an answer at once, too
        self, code: str, *_: Any, **__: Any
    ) -> dict[str, Any]:
        for line in code.splitlines():
            name, assigns, value = line.partition("=")
            if assigns:
                self.names[name] = int(value)
            elif line.startswith("out "):
                self.hand_on(line[4:])
        done: dict[str, Any] = {"status": "ok", "execution_count": self.execution_count}
        return {**done, "payload": [], "user_expressions": {}}

    def hand_on(self, name: str) -> None:
        content = {"data": {OUTPUTS: {name: self.names[name]}}, "metadata": {}}
        self.send_response(self.iopub_socket, "display_data", content)


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=CountingKernel)
