"""All sensors, under one name: `from mlflowkit.operators.sensors import FileSensor`."""

from mlflowkit.authoring.python_sensor import PythonSensor
from mlflowkit.authoring.sensor import BaseSensorOperator, PokeReturnValue
from mlflowkit.operators.sensor_bash import BashSensor
from mlflowkit.operators.sensor_external import ExternalTaskSensor
from mlflowkit.operators.sensor_file import FileSensor
from mlflowkit.operators.sensor_http import HttpSensor
from mlflowkit.operators.sensor_s3 import S3KeySensor
from mlflowkit.operators.sensor_sql import SqlSensor
from mlflowkit.operators.sensor_time import (
    DateTimeSensor,
    DayOfWeekSensor,
    TimeDeltaSensor,
    TimeSensor,
    WeekDay,
)

__all__ = [
    "BaseSensorOperator",
    "BashSensor",
    "DateTimeSensor",
    "DayOfWeekSensor",
    "ExternalTaskSensor",
    "FileSensor",
    "HttpSensor",
    "PokeReturnValue",
    "PythonSensor",
    "S3KeySensor",
    "SqlSensor",
    "TimeDeltaSensor",
    "TimeSensor",
    "WeekDay",
]
