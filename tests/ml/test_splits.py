"""Laws of the split: what holds for all images, fractions and seeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflowkit.errors import ClassTooSmall, OneClassOnly, WrongFractions
from mlflowkit.ml.images import ImageRef
from mlflowkit.ml.splits import conflicting_labels, split_images

Content = dict[str, str]
Images = list[ImageRef]


@st.composite
def collections(draw: st.DrawFn) -> tuple[Images, Content]:
    """Two to five classes of two to forty pictures, some of them in several copies."""
    images: Images = []
    content: Content = {}
    for label in draw(
        st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=5, unique=True)
    ):
        for number in range(draw(st.integers(2, 40))):
            for copy in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
                key = f"{label}/{number}-{copy}.png"
                images.append(ImageRef(key, label, 1, f"etag-{key}"))
                content[key] = f"{label}{number}"
    return images, content


fractions = st.floats(0.0, 0.45)


@given(collections(), fractions, fractions, st.integers(0, 5), st.randoms())
def test_the_order_of_the_manifest_changes_nothing(
    collection, val, test, seed, random
) -> None:
    images, content = collection
    other_order = random.sample(images, len(images))
    options = {"val_fraction": val, "test_fraction": test, "seed": seed}
    assert split_images(other_order, content, **options) == split_images(
        images, content, **options
    )


@given(collections(), fractions, fractions)
def test_each_image_is_in_one_split_and_copies_in_the_same(collection, val, test) -> None:
    images, content = collection
    dealt = split_images(images, content, val_fraction=val, test_fraction=test, seed=0)
    keys = [image.key for split in dealt.values() for image in split]
    assert sorted(keys) == sorted(image.key for image in images)
    pictures = [{content[image.key] for image in split} for split in dealt.values()]
    assert sum(map(len, pictures)) == len(set().union(*pictures))


@given(collections(), fractions, fractions)
def test_each_class_is_split_in_the_fractions_that_were_asked_for(
    collection, val, test
) -> None:
    images, content = collection
    dealt = split_images(images, content, val_fraction=val, test_fraction=test, seed=0)
    for label in {image.label for image in images}:
        of_label = {
            split: len({content[i.key] for i in found if i.label == label})
            for split, found in dealt.items()
        }
        total = sum(of_label.values())
        assert of_label["train"] >= 1
        assert of_label["test"] >= (test > 0)
        assert of_label["val"] >= (val > 0 and total >= 3)
        assert abs(of_label["test"] - test * total) <= 1
        assert abs(of_label["val"] - val * total) <= 1


@given(collections())
def test_another_seed_deals_the_same_numbers_differently(collection) -> None:
    images, content = collection
    one, two = (
        split_images(images, content, val_fraction=0.1, test_fraction=0.3, seed=seed)
        for seed in (0, 1)
    )
    assert {s: len({content[i.key] for i in one[s]}) for s in one} == {
        s: len({content[i.key] for i in two[s]}) for s in two
    }


def test_a_class_with_one_image_is_an_error_that_names_it() -> None:
    images = [ImageRef(f"{label}.png", label[0], 1, label) for label in ("a1", "a2", "b1")]
    content = {image.key: image.etag for image in images}
    with pytest.raises(ClassTooSmall) as caught:
        split_images(images, content, val_fraction=0.1, test_fraction=0.2, seed=0)
    assert (caught.value.label, caught.value.images, caught.value.needed) == ("b", 1, 2)
    assert str(caught.value) == (
        "class 'b' has 1 different image, but at least 2 are needed to have some for "
        "training and others for testing. Add images to the folder 'b', or leave the folder out."
    )


def test_a_class_of_copies_of_one_image_is_as_good_as_one_image() -> None:
    images = [ImageRef(f"{n}.png", "ab"[n > 1], 1, str(n)) for n in range(5)]
    content = {image.key: image.key if image.label == "a" else "same" for image in images}
    with pytest.raises(ClassTooSmall, match="class 'b' has 1 different image"):
        split_images(images, content, val_fraction=0.1, test_fraction=0.2, seed=0)


def test_one_class_alone_is_an_error() -> None:
    images = [ImageRef(f"{n}.png", "digits", 1, str(n)) for n in range(5)]
    content = {image.key: image.key for image in images}
    with pytest.raises(OneClassOnly, match=r"at least two classes.*digits.*too deep"):
        split_images(images, content, val_fraction=0.1, test_fraction=0.2, seed=0)


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.2), (0.5, 0.5), (0.1, 1.0)])
def test_fractions_that_leave_nothing_are_an_error(val: float, test: float) -> None:
    with pytest.raises(WrongFractions, match="both together less than 1"):
        split_images([], {}, val_fraction=val, test_fraction=test, seed=0)


def test_one_picture_under_two_labels_is_found() -> None:
    images = [ImageRef(key, key[0], 1, key) for key in ("b/1", "a/1", "a/2")]
    found = conflicting_labels(images, {"b/1": "x", "a/1": "x", "a/2": "y"})
    assert [[image.key for image in group] for group in found] == [["a/1", "b/1"]]
