"""Runs under either version, and without a provider that may not be there."""

from datetime import datetime

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG
try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:
    from airflow.operators.bash import BashOperator
try:
    from airflow.providers.slack.notifications.slack import send_slack_notification
except ImportError:
    send_slack_notification = None

with DAG("fallback_imports", schedule="@daily", start_date=datetime(2025, 1, 1)) as dag:
    BashOperator(task_id="hello", bash_command="echo hello")
    if send_slack_notification is not None:
        BashOperator(task_id="slack", bash_command="echo slack")
