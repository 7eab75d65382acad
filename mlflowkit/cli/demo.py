"""`mlflowkit demo`: the tutorial pipeline, from images in S3 to a model that answers."""

from __future__ import annotations

import typer

_HELP_KEEP = "Leave the servers running, until Ctrl-C."


def demo(
    style: str = typer.Option(
        "notebooks", help="How it is written: notebooks, classic (operators) or taskflow."
    ),
    s3_uri: str | None = typer.Option(
        None, "--s3-uri", help="Your images, as s3://bucket/prefix; else a local S3 server."
    ),
    connection: str = typer.Option("aws_default", help="The S3 connection."),
    model_uri: str | None = typer.Option(
        None, "--model-uri", help="Where models go; else models/NAME in the images' bucket."
    ),
    target: str = typer.Option("local", help="Where to deploy: local or kubernetes."),
    arch: str = typer.Option("resnet18", help="resnet18, resnet34, resnet50 or resnet101."),
    weights: str | None = typer.Option(
        None, help="Weights to start from: a file, a model's folder, or imagenet."
    ),
    epochs: int = typer.Option(4, min=1, help="Passes over the images."),
    image_size: int = typer.Option(32, min=8, help="Width and height, in pixels."),
    name: str = typer.Option("digits", help="What the model server is called."),
    port: int | None = typer.Option(None, help="Its port; a free one if left out."),
    image: str | None = typer.Option(None, help="Kubernetes: the container image."),
    secret: str | None = typer.Option(None, help="Kubernetes: the Secret with S3 rights."),
    keep: bool = typer.Option(False, "--keep", help=_HELP_KEEP),
    json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
    logs: bool = typer.Option(False, "--logs", help="Show what the tasks print, too."),
) -> None:
    """Run the tutorial pipeline: read images from S3, preprocess, fine-tune, upload, deploy.

    With no options it needs nothing: it starts an S3 server on loopback, puts 1,797 real
    images of handwritten digits there, and serves the model on this machine. At the end it
    stops what it started.
    """
    from mlflowkit.cli.places import the_home
    from mlflowkit.cli.tour import Tour

    params = {
        "connection": connection,
        "target": target,
        "arch": arch,
        "weights": weights,
        "epochs": epochs,
        "image_size": image_size,
        "name": name,
        "port": port,
        "image": image,
        "secret": secret,
    }
    tour = Tour(
        the_home(), params, style=style, s3_uri=s3_uri, model_uri=model_uri, json=json
    )
    raise typer.Exit(tour.go(keep=keep, logs=logs))
