"""The artifact format of a model: two files in a folder, and how they are checked.

`model.safetensors` holds the weights, `model.json` all that is needed to use them and
to know where they come from, with the SHA-256 of the weights. Nothing here is a
pickle: opening a model runs no code that came with it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from mlflowkit.errors import (
    CorruptModel,
    MissingExtra,
    ModelMissing,
    UnknownModelFormat,
)

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS: Final = "model.safetensors"
CARD: Final = "model.json"
#: Goes up when a reader of the older format would misread the newer one.
FORMAT: Final = 1
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_VERSION_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, and what it was made from.

    Args:
        arch: The network's name, such as `resnet18`.
        classes: The labels, in the order of the network's outputs.
        image_size: The side, in pixels, of the square that the network takes.
        mean: Per channel, taken off pixels in [0, 1] before the network sees them.
        std: Per channel, what they are divided by after that.
        metrics: Finite numbers about its quality, such as `test_accuracy`.
        manifest_hash: `Manifest.content_hash` of the images it was trained on.
        versions: The libraries it was made with.
        sha256: Of the weights file, in hex; filled in by `save_model`.
        created_at: ISO 8601 in UTC; filled in by `save_model`. No part of its version.
    """

    arch: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    manifest_hash: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    created_at: str = ""

    @property
    def version(self) -> str:
        """16 hex digits that stand for weights and card: other content, other version."""
        facts = {**asdict(self), "created_at": "", "format": FORMAT}
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS]

    def to_json(self) -> str:
        """The text of model.json."""
        return (
            json.dumps({"format": FORMAT, **asdict(self)}, indent=2, sort_keys=True) + "\n"
        )

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> ModelCard:
        """Read the text of model.json; `where` is named in errors.

        Raises:
            CorruptModel: it is not the text of a card.
            UnknownModelFormat: a newer mlflowkit wrote it.
        """
        try:
            facts = json.loads(text)
        except ValueError as exc:
            raise CorruptModel(where, f"{CARD} is no JSON") from exc
        if not isinstance(facts, dict):
            raise CorruptModel(where, f"{CARD} is no JSON object")
        written = facts.pop("format", None)
        if written != FORMAT:
            raise UnknownModelFormat(where, written, FORMAT)
        return _card_of(facts, where)


def save_model(state_dict: Mapping[str, Tensor], card: ModelCard, folder: Path) -> Path:
    """Write a model into a folder, the card last, and give the folder.

    Args:
        state_dict: Names and tensors of any device and memory format.
        card: Its `sha256` and, when empty, its `created_at` are filled in.
        folder: Made if need be; a model that was there is replaced.

    Raises:
        MissingExtra: torch or safetensors is not installed.
        ValueError: a metric is not a finite number.
    """
    _refuse_odd_metrics(card)
    folder.mkdir(parents=True, exist_ok=True)
    card_file, weights = folder / CARD, folder / WEIGHTS
    card_file.unlink(missing_ok=True)
    _write_weights(state_dict, weights)
    card = replace(
        card,
        sha256=file_sha256(weights),
        created_at=card.created_at or datetime.now(UTC).isoformat(timespec="seconds"),
    )
    part = card_file.with_suffix(".part")
    part.write_text(card.to_json(), encoding="utf-8")
    part.replace(card_file)
    return folder


def read_card(folder: Path) -> ModelCard:
    """The card of the model in a folder, once its weights were found to be its own.

    Raises:
        ModelMissing, CorruptModel, UnknownModelFormat.
    """
    card_file, weights = folder / CARD, folder / WEIGHTS
    for file in (card_file, weights):
        if not file.is_file():
            raise ModelMissing(str(folder), file.name)
    card = ModelCard.from_json(card_file.read_bytes(), str(folder))
    check_sha256(str(folder), card.sha256, file_sha256(weights))
    return card


def read_model(folder: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    """Card and weights of the model in a folder; the tensors are on the CPU.

    Raises:
        ModelMissing: a file is not there.
        CorruptModel: the weights are not those that were saved.
        UnknownModelFormat: a newer mlflowkit wrote it.
        MissingExtra: torch or safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as exc:
        raise MissingExtra("safetensors with torch", "vision", "reading a model") from exc
    card = read_card(folder)
    try:
        return card, load_file(folder / WEIGHTS)
    except SafetensorError as exc:
        raise CorruptModel(str(folder), f"{WEIGHTS} cannot be read ({exc})") from exc


def local_folder(uri: str) -> Path | None:
    """The folder that a path or a file:// URI names; None for a URI of another kind."""
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path))
    return None if re.match(r"[a-z][a-z0-9+.-]*://", uri, re.IGNORECASE) else Path(uri)


def file_sha256(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with file.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()


def check_sha256(where: str, expected: str, found: str) -> None:
    """See that weights are the ones that the card names.

    Raises:
        CorruptModel: they are not.
    """
    if expected != found:
        raise CorruptModel(
            where,
            f"the SHA-256 of {WEIGHTS} is {found[:12]}…, and {CARD} says {expected[:12]}…",
        )


def _write_weights(state_dict: Mapping[str, Tensor], target: Path) -> None:
    try:
        from safetensors.torch import save_file
    except ImportError as exc:
        raise MissingExtra("safetensors with torch", "vision", "saving a model") from exc
    # Copies: safetensors takes neither shared memory nor channels_last.
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in state_dict.items()
    }
    part = target.with_suffix(".part")
    save_file(tensors, part, metadata={"format": "pt"})
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(target)


def _refuse_odd_metrics(card: ModelCard) -> None:
    odd = [name for name, value in card.metrics.items() if not math.isfinite(value)]
    if odd:
        raise ValueError(f"metrics must be finite numbers; these are not: {', '.join(odd)}")


def _card_of(facts: Mapping[str, Any], where: str) -> ModelCard:
    known = {each.name for each in fields(ModelCard)}
    try:
        card = ModelCard(
            **{name: value for name, value in facts.items() if name in known}
            | {
                "classes": tuple(str(each) for each in facts["classes"]),
                "mean": tuple(float(each) for each in facts["mean"]),
                "std": tuple(float(each) for each in facts["std"]),
                "image_size": int(facts["image_size"]),
                "metrics": dict(facts.get("metrics", {})),
                "versions": dict(facts.get("versions", {})),
            }
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise CorruptModel(where, f"{CARD} is incomplete ({exc})") from exc
    if not _SHA256.fullmatch(str(card.sha256)):
        raise CorruptModel(where, f"{CARD} has no SHA-256 of the weights")
    return card
