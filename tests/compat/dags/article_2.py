import datetime
import os

import airflow
from airflow import DAG
from airflow.operators.python import PythonOperator
from airflow.operators.s3_file_transform_operator import S3FileTransformOperator
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.transfers.local_to_s3 import S3FileTransferOperator
from airflow.providers.cncf.kubernetes.operators.kubernetes_pod import (
    KubernetesPodOperator,
)

default_args = {
    "owner": "airflow",
    "depends_on_past": False,
    "start_date": airflow.utils.dates.days_ago(2),
    "retries": 1,
    "retry_delay": datetime.timedelta(hours=1),
}

dag = DAG(
    "pytorch_on_kubernetes",
    default_args=default_args,
    description="A simple DAG to demonstrate Airflow with PyTorch and Kubernetes",
    schedule_interval="@daily",
    catchup=False,
)


def read_images_from_s3(**kwargs):
    s3_conn = S3Hook(aws_conn_id="aws_default")
    images = []
    for obj in s3_conn.get_bucket("mybucket").objects.all():
        images.append(obj.key)
    kwargs["ti"].xcom_push(key="images", value=images)


read_images = PythonOperator(
    task_id="read_images", python_callable=read_images_from_s3, dag=dag
)


def preprocess_images(**kwargs):
    images = kwargs["ti"].xcom_pull(task_ids="read_images", key="images")
    kwargs["ti"].xcom_push(key="train_images", value=[name.upper() for name in images])


def fit(**kwargs):
    train_images = kwargs["ti"].xcom_pull(task_ids="preprocess", key="train_images")
    with open(os.environ["MODEL_FILE"], "w") as file:
        file.write(",".join(train_images))


preprocess = PythonOperator(
    task_id="preprocess", python_callable=preprocess_images, dag=dag
)
fit_model = PythonOperator(task_id="fit_model", python_callable=fit, dag=dag)
upload_model = S3FileTransferOperator(
    task_id="upload_model",
    filename=os.environ["MODEL_FILE"],
    dest_key="s3://mybucket/models/trained_model.pt",
    dag=dag,
)
copy_model = S3FileTransformOperator(
    task_id="copy_model",
    source_s3_key="s3://mybucket/models/trained_model.pt",
    dest_s3_key="s3://mybucket/models/latest.pt",
    transform_script="/bin/cp",
    replace=True,
    dag=dag,
)
deploy_model = KubernetesPodOperator(
    task_id="deploy_model",
    namespace="default",
    image="python:3.11",
    cmds=["python", "deploy.py"],
    name="deploy-model",
    in_cluster=False,
    config_file=os.environ["KUBE_FILE"],
    is_delete_operator_pod=False,
    dag=dag,
)
read_images >> preprocess >> fit_model >> upload_model >> copy_model >> deploy_model
