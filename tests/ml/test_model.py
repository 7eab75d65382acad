"""A model comes back as it was saved, and is never loaded when it is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mlflowkit.errors import CorruptModel, ModelMissing, UnknownModelFormat
from mlflowkit.ml.model import ModelCard, download_model, read_card, read_model, save_model
from tests.ml.models import CARD, weights


def test_card_and_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    shared = torch.zeros(4)
    state = {
        "conv": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "half": torch.randn(5).to(torch.float16),
        "count": torch.tensor(7),
        "tied": shared,
        "tied_too": shared,
        "slice": torch.arange(10)[::2],
    }
    folder = save_model(state, CARD, tmp_path / "deep" / "model")
    card, loaded = read_model(folder)
    assert card == replace(CARD, sha256=card.sha256, created_at=card.created_at)
    assert card.created_at.endswith("+00:00")
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)
    assert sorted(each.name for each in folder.iterdir()) == [
        "model.json",
        "model.safetensors",
    ]


def test_the_card_is_plain_json_with_the_hash_of_the_weights(tmp_path: Path) -> None:
    folder = save_model(weights(1), CARD, tmp_path)
    facts = json.loads((folder / "model.json").read_text())
    assert facts["format"] == 1
    assert facts["classes"] == ["cat", "dog"]
    assert facts["sha256"] == read_card(folder).sha256


def test_the_version_stands_for_the_content_and_not_for_the_time(tmp_path: Path) -> None:
    first = read_card(save_model(weights(1), CARD, tmp_path / "1"))
    later = replace(CARD, created_at="2030-01-01T00:00:00+00:00")
    assert read_card(save_model(weights(1), later, tmp_path / "2")).version == first.version
    other = replace(CARD, metrics={"test_accuracy": 0.5})
    assert read_card(save_model(weights(1), other, tmp_path / "3")).version != first.version
    assert read_card(save_model(weights(2), CARD, tmp_path / "4")).version != first.version


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    folder = save_model(weights(1), CARD, tmp_path)
    file = folder / "model.safetensors"
    body = bytearray(file.read_bytes())
    body[-1] ^= 1
    for damaged in (bytes(body), bytes(body[:-10]), b""):
        file.write_bytes(damaged)
        with pytest.raises(CorruptModel, match="SHA-256") as caught:
            read_model(folder)
        assert caught.value.where == str(folder)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"format": 2}, UnknownModelFormat, "reads up to 1"),
        ({"classes": None}, CorruptModel, "incomplete"),
        ({"sha256": ""}, CorruptModel, "no SHA-256"),
    ],
)
def test_a_card_that_cannot_be_trusted_is_refused(
    tmp_path: Path, change: dict[str, object], error: type[Exception], says: str
) -> None:
    folder = save_model(weights(1), CARD, tmp_path)
    facts = json.loads((folder / "model.json").read_text()) | change
    (folder / "model.json").write_text(json.dumps(facts))
    with pytest.raises(error, match=says):
        read_model(folder)


def test_a_card_that_is_no_json_is_refused(tmp_path: Path) -> None:
    folder = save_model(weights(1), CARD, tmp_path)
    (folder / "model.json").write_text("{")
    with pytest.raises(CorruptModel, match="no JSON"):
        read_card(folder)


def test_a_card_of_a_later_writer_with_more_in_it_is_read(tmp_path: Path) -> None:
    folder = save_model(weights(1), CARD, tmp_path)
    facts = json.loads((folder / "model.json").read_text()) | {"added_later": 1}
    (folder / "model.json").write_text(json.dumps(facts))
    assert read_card(folder).classes == ("cat", "dog")


def test_a_folder_without_a_model_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"no model\.json"):
        read_model(tmp_path / "nothing")
    folder = save_model(weights(1), CARD, tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelMissing, match=r"no model\.safetensors"):
        read_model(folder)


def test_metrics_must_be_finite(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loss"):
        save_model(weights(1), replace(CARD, metrics={"loss": float("nan")}), tmp_path)


def test_a_local_folder_is_checked_and_given_back(tmp_path: Path) -> None:
    folder = save_model(weights(1), CARD, tmp_path / "a model")
    assert download_model(str(folder)) == folder
    assert download_model(folder.as_uri()) == folder
    with pytest.raises(ModelMissing):
        download_model(str(tmp_path))


def test_a_card_is_made_with_few_facts() -> None:
    card = ModelCard("resnet18", ("a",), 32, (0.5,), (0.5,))
    assert (
        ModelCard.from_json(replace(card, sha256="0" * 64).to_json(), "x").arch
        == "resnet18"
    )
