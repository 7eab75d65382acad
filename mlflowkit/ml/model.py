"""Models as artifacts: saved, checked, put into S3 and brought back.

The door to `model_card.py` (the two files, and how they are checked) and
`model_store.py` (versions in S3). Loads neither torch nor boto3 until they are used.
"""

from __future__ import annotations

from mlflowkit.ml.model_card import ModelCard, read_card, read_model, save_model
from mlflowkit.ml.model_store import download_model, resolve_model, upload_model

__all__ = [
    "ModelCard",
    "download_model",
    "read_card",
    "read_model",
    "resolve_model",
    "save_model",
    "upload_model",
]
