"""What a network starts from, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mlflowkit.errors import (
    CorruptWeights,
    UnknownArch,
    UnsafeWeights,
    WeightsDoNotFit,
    WeightsNotFound,
    WeightsUnavailable,
)
from mlflowkit.ml.model import ModelCard, save_model
from mlflowkit.ml.weights import ARCHS, WeightsReport, build_resnet, load_weights

State = dict[str, Tensor]


def fresh(seed: int, num_classes: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_resnet("resnet18", num_classes)


def same(one: State, other: State, *, but: str = "nothing") -> bool:
    return all(torch.equal(one[key], other[key]) for key in one if not key.startswith(but))


def saved(state: State, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def theirs() -> State:
    return fresh(1).state_dict()


@pytest.mark.parametrize("arch", ARCHS)
def test_each_architecture_is_built_for_any_number_of_classes(arch: str) -> None:
    with torch.device("meta"):
        network = build_resnet(arch, 7).eval()
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 7)


def test_an_unknown_architecture_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(
        UnknownArch, match=r"'resnet19'.*resnet18, .*Did you mean 'resnet18'"
    ):
        build_resnet("resnet19", 2)


def test_without_weights_nothing_is_changed() -> None:
    network = fresh(2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert load_weights(network, None, arch="resnet18") == WeightsReport("scratch")
    assert same(network.state_dict(), before)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt"])
def test_all_weights_of_a_file_are_loaded(name: str, theirs: State, tmp_path: Path) -> None:
    path, network = saved(theirs, tmp_path / name), fresh(2)
    report = load_weights(network, path, arch="resnet18")
    assert report == WeightsReport(str(path))
    assert same(network.state_dict(), theirs)


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_a_trainers_checkpoint_is_unwrapped(
    wrapper: str, theirs: State, tmp_path: Path
) -> None:
    inner = {f"module.{key}": value for key, value in theirs.items()}
    torch.save({wrapper: inner, "epoch": 3}, tmp_path / "w.pth")
    network = fresh(2)
    load_weights(network, tmp_path / "w.pth", arch="resnet18")
    assert same(network.state_dict(), theirs)


def test_a_head_for_other_classes_is_left_out_and_said(
    theirs: State, tmp_path: Path
) -> None:
    path, network = saved(theirs, tmp_path / "w.safetensors"), fresh(2, num_classes=5)
    head = network.get_submodule("fc").weight.detach().clone()
    report = load_weights(network, path, arch="resnet18")
    assert report.left_out == ("fc.bias", "fc.weight")
    assert str(report) == f"weights: from {path}, without fc.bias, fc.weight"
    assert same(theirs, network.state_dict(), but="fc.")
    assert torch.equal(network.get_submodule("fc").weight, head)


@pytest.mark.parametrize(("classes", "head_is_taken"), [("abc", True), ("abx", False)])
def test_the_head_of_a_saved_model_is_taken_for_the_same_classes_only(
    classes: str, head_is_taken: bool, theirs: State, tmp_path: Path
) -> None:
    card = ModelCard(
        arch="resnet18",
        classes=tuple("abc"),
        image_size=32,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        metrics={},
        manifest_hash="0" * 64,
    )
    folder, network = save_model(theirs, card, tmp_path / "model"), fresh(2)
    report = load_weights(network, folder, arch="resnet18", classes=tuple(classes))
    assert report.left_out == (() if head_is_taken else ("fc.bias", "fc.weight"))
    assert same(theirs, network.state_dict(), but="nothing" if head_is_taken else "fc.")
    with pytest.raises(WeightsDoNotFit, match=r"resnet34.*use arch='resnet18'"):
        load_weights(build_resnet("resnet34", 3), folder, arch="resnet34")


def test_weights_of_another_network_are_recognised(theirs: State, tmp_path: Path) -> None:
    path, network = saved(theirs, tmp_path / "w.pth"), build_resnet("resnet50", 3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WeightsDoNotFit) as caught:
        load_weights(network, path, arch="resnet50")
    assert caught.value.fits == "resnet18"
    assert "are not those of a resnet50: " in str(caught.value)
    assert str(caught.value).endswith("They fit resnet18: use arch='resnet18'.")
    assert same(network.state_dict(), before)


def test_weights_of_something_else_fit_nothing(tmp_path: Path) -> None:
    path = saved({"layer.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsDoNotFit, match="of its tensors are missing") as caught:
        load_weights(fresh(2), path, arch="resnet18")
    assert caught.value.fits is None


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100_000])


def scrambled(path: Path) -> None:
    path.write_bytes(b"\x93 these are not weights " * 1000)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut_off, scrambled, emptied])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_damaged_file_is_named(
    name: str, harm: Callable[[Path], None], theirs: State, tmp_path: Path
) -> None:
    path = saved(theirs, tmp_path / name)
    harm(path)
    with pytest.raises(CorruptWeights, match="cut off or damaged") as caught:
        load_weights(fresh(2), path, arch="resnet18")
    assert caught.value.path == path
    assert str(path) in str(caught.value)


def test_weights_that_are_not_numbers_are_refused(theirs: State, tmp_path: Path) -> None:
    bad = {**theirs, "conv1.weight": theirs["conv1.weight"] * float("nan")}
    path = saved(bad, tmp_path / "w.safetensors")
    with pytest.raises(
        CorruptWeights, match=r"'conv1\.weight' has values that are not finite"
    ):
        load_weights(fresh(2), path, arch="resnet18")


def test_a_file_that_holds_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "facts.pth")
    with pytest.raises(CorruptWeights, match="it holds a list, not a state dict"):
        load_weights(fresh(2), tmp_path / "list.pth", arch="resnet18")
    with pytest.raises(CorruptWeights, match="'epoch' is an int, not a tensor"):
        load_weights(fresh(2), tmp_path / "facts.pth", arch="resnet18")


def dump_plainly(value: object, path: Path, *, protocol: int) -> None:
    path.write_bytes(pickle.dumps(value, protocol))


class Trap:
    """A pickle that makes a file when it is opened carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    "dump",
    [torch.save, *(partial(dump_plainly, protocol=protocol) for protocol in (2, 4))],
)
def test_a_pickle_with_code_is_refused_and_not_run(
    dump: Callable[[object, Path], object], tmp_path: Path
) -> None:
    dump({"fc.weight": Trap(tmp_path / "sprung")}, tmp_path / "w.pth")
    with pytest.raises(
        UnsafeWeights, match=r"It was not opened. Save the state dict alone"
    ):
        load_weights(fresh(2), tmp_path / "w.pth", arch="resnet18")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["missing.safetensors", "model.onnx"])
def test_a_file_that_is_not_there_or_of_no_known_kind_is_named(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(WeightsNotFound, match=rf"no weights at .*{name}.*or None to start"):
        load_weights(fresh(2), tmp_path / name, arch="resnet18")


def test_ready_made_weights_come_from_torchvisions_own_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs = fresh(1, num_classes=1000).state_dict()
    cache = tmp_path / "hub/checkpoints"
    cache.mkdir(parents=True)
    torch.save(theirs, cache / "resnet18-f37072fd.pth")
    network = fresh(2)
    report = load_weights(network, "imagenet", arch="resnet18")
    assert report == WeightsReport("imagenet", ("fc.bias", "fc.weight"))
    assert same(theirs, network.state_dict(), but="fc.")


def test_without_a_network_ready_made_weights_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(WeightsUnavailable) as caught:
        load_weights(fresh(2), "DEFAULT", arch="resnet18")
    assert "https://download.pytorch.org/models/resnet18-" in str(caught.value)
    assert str(caught.value).endswith("or start from scratch with weights=None.")
