"""From images in S3 to a model that answers: the tutorial pipeline.

read_images >> preprocess >> fine_tune >> upload_model >> deploy_model

mlflowkit demo                                    on embedded defaults
mlflowkit run pipelines/train_and_deploy.py -p s3_uri=s3://pets/photos -p epochs=20
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from mlflowkit import dag, notebook, task

if TYPE_CHECKING:
    from pathlib import Path

    from mlflowkit.ml.deploy import Deployment, Target
    from mlflowkit.ml.images import Manifest


@task
def read_images(s3_uri: str, connection: str) -> Manifest:
    """List the images, and bring those not seen before into the local cache."""
    from mlflowkit.ml.images import load_images

    manifest = load_images(s3_uri, connection=connection)
    print(
        f"{len(manifest.images)} images of {len(manifest.classes)} classes, "
        f"{manifest.downloaded} downloaded, {len(manifest.skipped)} left out"
    )
    return manifest


@task
def upload_model(model: Path, model_uri: str, connection: str) -> str:
    """Put the model under a version of its own; gives the URI of that version."""
    from mlflowkit.ml.model import upload_model as upload

    version = upload(model, model_uri, connection=connection)
    print(f"the model is at {version}")
    return version


@task
def deploy_model(
    version: str,
    manifest: Manifest,
    target: Target,
    connection: str,
    name: str,
    port: int | None,
    image: str | None,
    secret: str | None,
) -> Deployment:
    """Serve the model, and come back when it has answered."""
    from dataclasses import replace

    from mlflowkit.ml.deploy import deploy_model as deploy

    if target == "kubernetes":
        return deploy(
            version, target, name=name, connection=connection, image=image, secret=secret
        )
    one = replace(manifest, images=manifest.images[:1])
    _, test_image = next(one.paths())
    return deploy(
        version,
        "local",
        name=name,
        connection=connection,
        port=port,
        test_image=test_image,
    )


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"owner": "ml", "retries": 1, "retry_delay": timedelta(hours=1)},
    tags=["tutorial"],
)
def train_and_deploy(  # noqa: PLR0913, PLR0917 - each is a parameter of the DAG
    s3_uri: str = "s3://mlflowkit-demo/digits",
    model_uri: str = "s3://mlflowkit-demo/models/digits",
    connection: str = "aws_default",
    target: Literal["local", "kubernetes"] = "local",
    arch: Literal["resnet18", "resnet34", "resnet50", "resnet101"] = "resnet18",
    epochs: int = 8,
    image_size: int = 32,
    freeze_backbone: bool = False,
    weights: str | None = None,
    seed: int = 0,
    name: str = "digits",
    port: int | None = None,
    image: str | None = None,
    secret: str | None = None,
) -> None:
    """Read images from S3, fine-tune a ResNet on them, store the model, and deploy it."""
    manifest = read_images(s3_uri, connection)
    packed = notebook(
        "../notebooks/preprocess.ipynb",
        task_id="preprocess",
        returns=["dataset", "classes"],
        manifest=manifest,
        image_size=image_size,
        seed=seed,
    )
    tuned = notebook(
        "../notebooks/finetune_resnet.ipynb",
        task_id="fine_tune",
        returns=["model", "metrics"],
        dataset=packed["dataset"],
        arch=arch,
        epochs=epochs,
        freeze_backbone=freeze_backbone,
        weights=weights,
        seed=seed,
    )
    version = upload_model(tuned["model"], model_uri, connection)
    deploy_model(version, manifest, target, connection, name, port, image, secret)
