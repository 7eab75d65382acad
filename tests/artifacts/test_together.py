"""Values that share objects share them still when they come back, and others stay apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.artifacts.serializers import dump, load, references
from mlflowkit.artifacts.serializers.together import is_pickled, shared
from mlflowkit.core.values import INLINE_LIMIT


class Model:
    """Pickled: it has no codec of its own."""

    def __init__(self, size: int = 1) -> None:
        self.weights = [0.0] * size


class Optimizer:
    def __init__(self, model: Model) -> None:
        self.weights = model.weights

    def step(self) -> None:
        self.weights[0] += 1


def pair(size: int = 1) -> dict[str, Any]:
    model = Model(size)
    return {"model": model, "optimizer": Optimizer(model)}


def test_one_value_with_a_model_and_its_optimizer_keeps_them_together(
    store: FileArtifacts,
) -> None:
    for size in (1, 20_000):
        made = pair(size)
        for given in (made, [*made.values()], (made["model"], made["optimizer"])):
            back = load(dump(given, store), store)
            assert type(back) is type(given)
            model, optimizer = back.values() if isinstance(back, dict) else back
            optimizer.step()
            assert model.weights[0] == 1.0
            assert model.weights is optimizer.weights


def test_values_under_names_of_their_own_are_together_for_who_takes_both(
    store: FileArtifacts,
) -> None:
    for size in (1, 20_000):
        made = {**pair(size), "other": Model(size), "rows": [1, 2], "name": "x"}
        assert [n for n, v in made.items() if is_pickled(dump(v, store), store)] == [
            "model",
            "optimizer",
            "other",
        ]
        beside = shared({n: made[n] for n in ("model", "optimizer", "other")})
        assert sorted(beside) == ["model", "optimizer"]
        stored = {name: dump(value, store) for name, value in beside.items()}
        assert stored["model"].preview == dump(made["model"], store).preview
        named = {name: {*references(value, store)} for name, value in stored.items()}
        assert named["model"] == named["optimizer"]  # the bytes are stored once
        assert bool(named["model"]) == (size > 1)
        assert (stored["model"].inline is not None) and stored["model"].size < INLINE_LIMIT
        opened: dict[str, Any] = {}
        back = {n: load(value, store, opened=opened) for n, value in stored.items()}
        back["optimizer"].step()
        assert back["model"].weights[0] == 1.0
        alone = load(stored["model"], store)  # whoever takes one of them has a fresh one
        assert (type(alone), alone.weights[0]) == (Model, 0.0)


def test_what_shares_nothing_that_can_be_changed_is_stored_apart(
    store: FileArtifacts,
) -> None:
    name, point = "a name that both have", (1, 2)
    one, two = Model(), Model()
    vars(one).update(name=name, point=point, kind=Model)
    vars(two).update(name=name, point=point, kind=Model)
    assert shared({"one": one, "two": two}) == {}
    frame = np.zeros(3)
    for value in ([1], {"a": frame}, frame, "text", (frame, Model())):
        assert not is_pickled(dump(value, store), store)
    assert is_pickled(dump([one, {"two": two}], store), store)


def test_chains_of_values_that_share_are_one_group(store: FileArtifacts) -> None:
    first, second, third = Model(), Model(), Model()
    link, other = [first, second], [second, third]
    found = shared(
        {"third": third, "first": first, "link": link, "alone": Model(), "other": other}
    )
    assert sorted(found) == ["first", "link", "other", "third"]
    opened: dict[str, Any] = {}
    back = {n: load(dump(v, store), store, opened=opened) for n, v in found.items()}
    assert back["link"][0] is back["first"]
    assert back["link"][1] is back["other"][0]
    assert back["other"][1] is back["third"]
