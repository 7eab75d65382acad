"""Runs the demo and keeps what its last screen shows as docs/images/demo.svg.

python -m docs.picture
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

IMAGE = Path(__file__).parent / "images" / "demo.svg"
WIDTH = 92


def main() -> int:
    """Run it in a new folder, and draw it."""
    from mlflowkit.cli.closing import tell_end
    from mlflowkit.cli.demo_report import tell_report
    from mlflowkit.cli.places import the_home
    from mlflowkit.cli.table import run_table
    from mlflowkit.cli.tour import Tour
    from mlflowkit.handles.run import RunHandle

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["MLFLOWKIT_HOME"] = str(Path(folder, ".mlflowkit").resolve())
        params = {"connection": "aws_default", "target": "local", "name": "digits"}
        tour = Tour(the_home(), {**params, "epochs": 4}, s3_uri=None, model_uri=None)
        status = tour.go(keep=False, logs=False)
        report = tour.report
        if status or report is None:
            return status or 1
        screen = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
        screen.print("$ mlflowkit demo", style="bold", highlight=False)
        screen.print(run_table(report.view, {}, datetime.now(UTC)))
        tell_end(RunHandle(report.view.run_id, the_home()), screen)
        tell_report(report, screen)
    IMAGE.parent.mkdir(exist_ok=True)
    drawn = screen.export_svg(title="mlflowkit demo")
    # Fonts of this machine will do: a picture fetches nothing from elsewhere.
    IMAGE.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))
    return 0


if __name__ == "__main__":
    sys.exit(main())
