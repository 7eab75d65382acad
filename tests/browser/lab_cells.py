"""What people type in the notebooks of the stories."""

from __future__ import annotations

STEPS = """
import time, mlflowkit
from mlflowkit import dag, notebook, task

@task
def load(n):
    print("loaded", n)
    return list(range(n))

@task
def slow(x):
    time.sleep(300)
"""
SLEEPY = """
@dag
def sleepy():
    slow(load(3))

d = sleepy()
"""
#: An error would take the cells behind it out of the queue.
WAITING = """
run = d.run()
try:
    {wait}
except Exception as error:
    print("it says", type(error).__name__)
"""
#: Fails until its gate is there.
GATED = """
from pathlib import Path

@task
def gated(rows, gate):
    if not Path(gate).exists():
        raise ValueError("the gate is shut")
    return len(rows)

@dag
def train(gate: str):
    gated(load(6), gate)

d = train()
"""
FORM = """
from typing import Literal

@task
def tell(n, rate, tags, kind):
    return [n, rate, tags, kind]

@dag
def formed(
    n: int = mlflowkit.Param(3, minimum=1, description="How many, at least one"),
    rate: float = 0.1,
    tags: list[str] = ["a"],
    kind: Literal["small", "large"] = "small",
    loud: bool = False,
):
    tell(n, rate, tags, kind)

d = formed()
"""
MANY = """
@task
def square(x):
    time.sleep(0.3)
    return x * x

@dag
def many():
    square.expand(x=list(range(5000)))

d = many()
"""
#: The demo's own pipeline; `%env` and the folder are filled in.
DEMO = """
%env MLFLOWKIT_CONN_AWS_DEFAULT={connection}
import sys
sys.path.insert(0, {pipelines!r})
from train_and_deploy import train_and_deploy

d = train_and_deploy()
"""
DEMO_RUN = """
run = d.run(
    s3_uri={bucket!r} + "/digits", model_uri={bucket!r} + "/models", name="lab",
    epochs=1, image_size=8, weights={weights!r}, retries=0,
)
"""
WEIGHTS = """
import torch
from torchvision.models import resnet18
torch.save(resnet18(num_classes=2).state_dict(), {weights!r})
"""


def poisoned(bad: str) -> str:
    """A DAG whose every text is `bad`."""
    return f"""
BAD = {bad!r}

@task
def fails(text):
    print(text)
    mlflowkit.push("key", text)
    raise ValueError(text)

@dag(description=BAD)
def poisoned(note: str = mlflowkit.Param(BAD, description=BAD, title=BAD)):
    fails(note)

d = poisoned()
"""
