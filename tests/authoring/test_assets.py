"""Assets: one spelling for each, joined by `&` and `|`, refused when they cannot be."""

from __future__ import annotations

import pickle

import pytest

from mlflowkit.authoring.assets import Asset, AssetAll, AssetAny, Dataset, DatasetAny
from mlflowkit.core.timetable import AllOf, AnyOf, AssetUri
from mlflowkit.errors import BadAsset

A, B, C = Asset("s3://a"), Asset("s3://b"), Asset("s3://c")


def test_an_asset_has_a_name_and_a_uri_and_one_stands_for_both() -> None:
    given = [
        Asset("s3://bucket/x"),
        Asset("images", "s3://bucket/x"),
        Asset(uri="s3://bucket/x", name="images", group="vision", extra={"team": "ml"}),
        Asset("plain name"),
    ]
    assert [(one.name, one.uri, one.group, dict(one.extra)) for one in given] == [
        ("s3://bucket/x", "s3://bucket/x", "asset", {}),
        ("images", "s3://bucket/x", "asset", {}),
        ("images", "s3://bucket/x", "vision", {"team": "ml"}),
        ("plain name", "plain name", "asset", {}),
    ]
    assert given[1] == given[2]
    assert len(set(given)) == 3
    assert pickle.loads(pickle.dumps(given[2])) == given[2]
    assert (Dataset is Asset, DatasetAny is AssetAny) == (True, True)


def test_one_asset_has_one_spelling() -> None:
    spelt = [
        "S3://Bucket/Images/",
        "s3://bucket/Images",
        "postgres://DB.example/a/b/c?z=1&a=2",
        "file:///data/x.csv",
        "x-mine:Any Thing/",
    ]
    assert [Asset(uri).uri for uri in spelt] == [
        "s3://bucket/Images",
        "s3://bucket/Images",
        "postgres://db.example/a/b/c?a=2&z=1",
        "file:///data/x.csv",
        "x-mine:Any Thing/",
    ]


def test_joined_assets_are_a_tree_of_any_and_all() -> None:
    a, b, c = AssetUri("s3://a"), AssetUri("s3://b"), AssetUri("s3://c")
    assert ((A & B) | C).condition() == AnyOf((AllOf((a, b)), c))
    assert (A & B & C).condition() == AllOf((a, b, c))
    assert (A | (B | C)).condition() == AnyOf((a, b, c))
    assert AssetAny(A, AssetAll(B, C)).condition() == AnyOf((a, AllOf((b, c))))
    assert AssetAll(A, B) == (A & B)
    assert (A & B) != (A | B)
    assert hash(A & B) == hash(AssetAll(A, B))
    with pytest.raises(TypeError):
        A & "s3://b"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "has no name"),
        ("  ", "has no name"),
        ("s3://bucket/é", "not ASCII"),
        ("s3://bucket/a\nb", "not ASCII"),
        ("x" * 1501, "more than 1500"),
        ("airflow://x", "is taken"),
        ("http://[bad", "no URI that can be read"),
        (5, "needs a text"),
    ],
)
def test_what_cannot_be_an_asset_says_why(given: str, why: str) -> None:
    with pytest.raises(BadAsset, match=why):
        Asset(given)


def test_a_password_in_a_uri_is_refused_and_not_shown() -> None:
    with pytest.raises(BadAsset, match="keep those in a connection") as caught:
        Asset("postgres://joe:hunter2@db/x")
    assert "hunter2" not in str(caught.value)
    for wrong in ((), (A, "s3://b")):
        with pytest.raises(BadAsset):
            AssetAll(*wrong)  # type: ignore[arg-type]
    with pytest.raises(BadAsset, match="needs a URI"):
        Asset()
