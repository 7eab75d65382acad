"""`python -m mlflowkit`: the same as `mlflowkit`."""

from __future__ import annotations

from mlflowkit.cli.main import main

if __name__ == "__main__":
    main()
