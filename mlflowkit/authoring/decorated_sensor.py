"""What `@task.sensor` makes of a function."""

from __future__ import annotations

from mlflowkit.authoring.conditions import Conditional
from mlflowkit.authoring.python_sensor import PythonSensor


class DecoratedSensor(Conditional, PythonSensor):
    """A sensor that looks by calling a function."""

    shown_as = "@task.sensor"
