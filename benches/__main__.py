"""`python -m benches [name …]`: run the benches, and print what they found."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping

NAMES = (
    "front_door",
    "load_folder",
    "simulate",
    "runs",
    "schedules",
    "mapped",
    "load_images",
    "fine_tune",
    "viewer",
    "widget",
    "notebooks",
    "notebook_cells",
    "prefix",
    "resume",
)


def main(names: list[str]) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as workers have it
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(
            f"no such bench: {', '.join(sorted(unknown))} (there are: {', '.join(NAMES)})"
        )
    for name in names or NAMES:
        print(f"\n{name}", flush=True)
        found = importlib.import_module(f"benches.{name}").run()
        for label, value in found.items() if isinstance(found, Mapping) else found:
            shown = f"{value:,.3f}" if isinstance(value, float) else str(value)
            print(f"  {label:48} {shown}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
