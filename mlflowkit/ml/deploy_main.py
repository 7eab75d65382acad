"""A deployment as a program: `python -m mlflowkit.ml.deploy_main --model URI --name NAME`.

For a pod that rolls a model out in the cluster it runs in, with its own service account. It
prints what it does, and writes the deployment as JSON where a task picks up the pod's result.
Does nothing that `deploy_model` does not do.

Exit codes: 0 the model answers, 1 it was not deployed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mlflowkit.errors import MlflowkitError
from mlflowkit.ml.deploy import TARGETS, deploy_model

#: Where Kubernetes tasks look for a result.
RESULT = Path("/airflow/xcom/return.json")


def arguments() -> argparse.ArgumentParser:
    """The command line. What is given as an empty text counts as left out."""
    parser = argparse.ArgumentParser(
        prog="python -m mlflowkit.ml.deploy_main", description="Deploy a model."
    )
    add = parser.add_argument
    add("--model", required=True, help="s3://... of a version or its `latest`")
    add("--target", choices=TARGETS, default="kubernetes")
    add("--name", default="model", help="what the server is called")
    add("--connection", default="aws_default", help="connection that S3 is read with")
    add("--image", help="Kubernetes: the container image with the server")
    add("--secret", help="Kubernetes: the Secret with S3 rights")
    add("--namespace", help="Kubernetes: else the pod's own")
    add("--timeout", type=float, default=300.0, help="seconds until it must be ready")
    add("--result", type=Path, default=RESULT, help="file for the deployment, as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Deploy, and give the exit code."""
    given = vars(arguments().parse_args(argv))
    result: Path = given.pop("result")
    options = {name: value for name, value in given.items() if value not in (None, "")}
    uri, target = options.pop("model"), options.pop("target")
    try:
        done = deploy_model(uri, target, **options)
    except MlflowkitError as exc:
        print(exc, file=sys.stderr)  # noqa: T201
        return 1
    text = json.dumps(asdict(done))
    print(text)  # noqa: T201
    if result.parent.is_dir():
        result.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
