"""The tutorial pipeline in TaskFlow style: functions, and what they return.

read_images >> preprocess >> training.[fit × 2 >> best] >> upload_model >> choose
choose >> [deploy_pod, deploy_local]

mlflowkit demo --style taskflow                   on embedded defaults
mlflowkit run pipelines/tutorial_taskflow.py -p s3_uri=s3://pets/photos -p epochs=20

The training is a task group: the same fit with several learning rates, side by side, and
the one that does best on the validation images goes on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mlflowkit import __version__, dag, get_current_context, task, task_group
from mlflowkit.operators import KubernetesPodOperator

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlflowkit.ml.deploy import Deployment
    from mlflowkit.ml.images import Manifest

#: Peaks of the schedule that are tried; None lets the training choose.
LEARNING_RATES = [None, 0.1]


@task
def read_images(s3_uri: str, connection: str) -> Manifest:
    """List the images, and bring those not seen before into the local cache."""
    from mlflowkit.ml.images import load_images

    return load_images(s3_uri, connection=connection)


@task
def preprocess(manifest: Manifest, image_size: int, seed: int) -> Path:
    """Decode, resize and split them, and pack them for training."""
    from mlflowkit.ml.preprocess import preprocess as pack

    folder = get_current_context()["ti"].state_dir
    packed = pack(manifest, out=folder / "dataset", image_size=image_size, seed=seed)
    return packed.folder


@task(map_index_template="{{ task.op_kwargs['lr'] or 'chosen' }}")
def fit(dataset: Path, lr: float | None, options: dict[str, Any]) -> Path:
    """Fine-tune a ResNet; after an interruption it goes on from its last epoch."""
    from mlflowkit.ml.resnet import fine_tune

    folder = get_current_context()["ti"].state_dir
    tuned = fine_tune(
        dataset,
        out=folder / "model",
        lr=lr,
        checkpoint_dir=folder / "checkpoints",
        **options,
    )
    return tuned.model_dir


@task(multiple_outputs=True)
def best(candidates: Iterable[Path]) -> dict[str, Any]:
    """The model that did best on the validation images, with its numbers."""
    from mlflowkit.ml.model import read_card

    cards = {folder: read_card(folder) for folder in candidates}
    model = max(cards, key=lambda folder: cards[folder].metrics["val_accuracy"])
    return {"model": model, "metrics": dict(cards[model].metrics)}


@task_group
def training(dataset: Path, options: dict[str, Any]) -> Any:
    """One fit for each learning rate, and the best of them."""
    fitted = fit.partial(dataset=dataset, options=options).expand(lr=LEARNING_RATES)
    return best(fitted)


@task
def upload_model(model: Path, model_uri: str, connection: str) -> str:
    """Put the model under a version of its own; gives the URI of that version."""
    from mlflowkit.ml.model import upload_model as upload

    return upload(model, model_uri, connection=connection)


@task.branch
def choose(target: str) -> str:
    """Which of the two goes on; the other one is skipped."""
    return "deploy_pod" if target == "kubernetes" else "deploy_local"


@task
def deploy_local(
    version: str, manifest: Manifest, connection: str, name: str, port: int | None
) -> Deployment:
    """Serve the model on this machine, and come back when it has answered."""
    from dataclasses import replace

    from mlflowkit.ml.deploy import deploy_model

    _, picture = next(replace(manifest, images=manifest.images[:1]).paths())
    return deploy_model(
        version, "local", name=name, connection=connection, port=port, test_image=picture
    )


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"owner": "ml", "retries": 1, "retry_delay": timedelta(hours=1)},
    tags=["tutorial"],
)
def tutorial_taskflow(  # noqa: PLR0913, PLR0917 - each is a parameter of the DAG
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
    image: str = f"mlflowkit-serve:{__version__}",
    secret: str = "mlflowkit-s3",
    service_account: str = "mlflowkit-deployer",
) -> None:
    """Read images from S3, fine-tune a ResNet on them, store the model, and deploy it."""
    manifest = read_images(s3_uri, connection)
    options = {
        "arch": arch,
        "epochs": epochs,
        "freeze_backbone": freeze_backbone,
        "weights": weights,
        "seed": seed,
    }
    trained = training(preprocess(manifest, image_size, seed), options)
    version = upload_model(trained["model"], model_uri, connection)
    deploy_pod = KubernetesPodOperator(
        task_id="deploy_pod",
        image=image,
        cmds=["python", "-m", "mlflowkit.ml.deploy_main"],
        arguments=[
            *("--model", version),
            *("--name", name),
            *("--connection", connection),
            *("--image", image),
            *("--secret", secret),
        ],
        env_from=[{"secretRef": {"name": secret}}],
        service_account_name=service_account,
        do_xcom_push=True,
    )
    here = deploy_local(version, manifest, connection, name, port)
    version >> choose(target) >> [deploy_pod, here]


d = tutorial_taskflow()
