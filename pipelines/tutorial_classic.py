"""The tutorial pipeline in classic style: operators, `ti.xcom_push` and `ti.xcom_pull`.

read_images >> preprocess >> fit_model >> upload_model >> choose >> [deploy_pod, deploy_local]

mlflowkit demo --style classic                    on embedded defaults
mlflowkit run pipelines/tutorial_classic.py -p s3_uri=s3://pets/photos -p target=kubernetes

Each task may be run again with the same effect: what it makes lies in a folder of its own
task instance, and a model is named by its content.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mlflowkit import DAG, BranchPythonOperator, Param, PythonOperator, __version__
from mlflowkit.operators import KubernetesPodOperator, S3FileTransferOperator

ARCHITECTURES = ["resnet18", "resnet34", "resnet50", "resnet101"]

default_args = {
    "owner": "airflow",
    "depends_on_past": False,
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "retries": 1,
    "retry_delay": timedelta(hours=1),
}


def read_images_from_s3(ti: Any, params: Mapping[str, Any]) -> None:
    """List the images, and bring those not seen before into the local cache."""
    from mlflowkit.hooks.s3 import S3Hook
    from mlflowkit.ml.images import load_images

    hook = S3Hook(aws_conn_id=params["connection"])
    bucket, prefix = hook.parse_s3_url(params["s3_uri"])
    objects = hook.get_bucket(bucket).objects.filter(Prefix=prefix)
    print(f"{sum(1 for _ in objects):,} objects below {params['s3_uri']}")
    images = load_images(params["s3_uri"], connection=params["connection"])
    ti.xcom_push(key="images", value=images)


def preprocess_images(ti: Any, params: Mapping[str, Any]) -> None:
    """Decode, resize and split them, and pack them for training."""
    from mlflowkit.ml.preprocess import preprocess

    images = ti.xcom_pull(task_ids="read_images", key="images")
    packed = preprocess(
        images,
        out=ti.state_dir / "dataset",
        image_size=params["image_size"],
        seed=params["seed"],
    )
    ti.xcom_push(key="train_images", value=packed.folder)


def fit(ti: Any, params: Mapping[str, Any]) -> None:
    """Fine-tune a ResNet; after an interruption it goes on from its last epoch."""
    from mlflowkit.ml.model import read_card
    from mlflowkit.ml.resnet import fine_tune

    tuned = fine_tune(
        ti.xcom_pull(task_ids="preprocess", key="train_images"),
        out=ti.state_dir / "model",
        arch=params["arch"],
        weights=params["weights"],
        epochs=params["epochs"],
        freeze_backbone=params["freeze_backbone"],
        seed=params["seed"],
        checkpoint_dir=ti.state_dir / "checkpoints",
    )
    version = f"{params['model_uri']}/{read_card(tuned.model_dir).version}"
    ti.xcom_push(key="metrics", value=tuned.metrics)
    ti.xcom_push(key="model_uri", value=version)
    ti.xcom_push(
        key="uploads",
        value=[
            {
                "filename": str(file),
                "dest_key": f"{version}/{file.name}",
                "aws_conn_id": params["connection"],
            }
            for file in sorted(tuned.model_dir.iterdir(), reverse=True)
        ],
    )


def choose_target(params: Mapping[str, Any]) -> str:
    """Which of the two goes on; the other one is skipped."""
    return "deploy_pod" if params["target"] == "kubernetes" else "deploy_local"


def serve_locally(ti: Any, params: Mapping[str, Any]) -> object:
    """Serve the model on this machine, and come back when it has answered."""
    from dataclasses import replace

    from mlflowkit.ml.deploy import deploy_model

    images = ti.xcom_pull(task_ids="read_images", key="images")
    _, picture = next(replace(images, images=images.images[:1]).paths())
    return deploy_model(
        ti.xcom_pull(task_ids="fit_model", key="model_uri"),
        "local",
        name=params["name"],
        connection=params["connection"],
        port=params["port"],
        test_image=picture,
    )


with DAG(
    "tutorial_classic",
    description="From images in S3 to a model that answers, with operators",
    default_args=default_args,
    schedule="@daily",
    catchup=False,
    tags=["tutorial"],
    params={
        "s3_uri": "s3://mlflowkit-demo/digits",
        "model_uri": "s3://mlflowkit-demo/models/digits",
        "connection": "aws_default",
        "target": Param("local", enum=["local", "kubernetes"]),
        "arch": Param("resnet18", enum=ARCHITECTURES),
        "epochs": Param(8, type="integer", minimum=1),
        "image_size": Param(32, type="integer", minimum=8),
        "freeze_backbone": False,
        "weights": Param(None, type=["null", "string"]),
        "seed": 0,
        "name": "digits",
        "port": Param(None, type=["null", "integer"]),
        "image": f"mlflowkit-serve:{__version__}",
        "secret": "mlflowkit-s3",
        "service_account": "mlflowkit-deployer",
    },
) as dag:
    read_images = PythonOperator(task_id="read_images", python_callable=read_images_from_s3)
    preprocess = PythonOperator(task_id="preprocess", python_callable=preprocess_images)
    fit_model = PythonOperator(task_id="fit_model", python_callable=fit)
    upload_model = S3FileTransferOperator.partial(
        task_id="upload_model", replace=True
    ).expand_kwargs(fit_model.output["uploads"])
    choose = BranchPythonOperator(task_id="choose", python_callable=choose_target)
    deploy_pod = KubernetesPodOperator(
        task_id="deploy_pod",
        image="{{ params.image }}",
        cmds=["python", "-m", "mlflowkit.ml.deploy_main"],
        arguments=[
            "--model={{ ti.xcom_pull(task_ids='fit_model', key='model_uri') }}",
            "--name={{ params.name }}",
            "--connection={{ params.connection }}",
            "--image={{ params.image }}",
            "--secret={{ params.secret }}",
        ],
        env_from=[{"secretRef": {"name": "{{ params.secret }}"}}],
        service_account_name=dag.params["service_account"],
        do_xcom_push=True,
    )
    deploy_local = PythonOperator(task_id="deploy_local", python_callable=serve_locally)

    read_images >> preprocess >> fit_model >> upload_model >> choose
    choose >> [deploy_pod, deploy_local]
