"""Operators: those of the language, and those that touch outside systems."""

from mlflowkit.authoring.notebook import NotebookOperator
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.python import PythonOperator
from mlflowkit.operators.bash import BashOperator

__all__ = ["BaseOperator", "BashOperator", "NotebookOperator", "PythonOperator"]
