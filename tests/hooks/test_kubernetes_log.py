"""A container's log over streams that break: each line once, in whatever order it was written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflowkit.hooks.kubernetes import KubernetesHook
from mlflowkit.hooks.kubernetes_log import ContainerLog
from tests.kubernetes_server import FakeKubernetes, FakePod, kubeconfig, serving

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[FakeKubernetes, KubernetesHook]]:
    fake = FakeKubernetes(lambda pod: None)
    with serving(fake) as url:
        config = kubeconfig(tmp_path_factory.mktemp("kube"), url)
        yield fake, KubernetesHook(config_file=str(config))


def new_pod(fake: FakeKubernetes) -> FakePod:
    meta = {"name": f"p{next(fake.numbers)}", "namespace": "models"}
    pod = fake.add_pod({"metadata": meta, "spec": {"containers": [{"name": "base"}]}})
    pod.run()
    return pod


def test_a_line_without_its_break_waits_until_nothing_more_can_come(
    place: tuple[FakeKubernetes, KubernetesHook],
) -> None:
    fake, hook = place
    pod = new_pod(fake)
    pod.log("whole", "cut")
    fake.cuts = [(1, "half")]
    log = ContainerLog(hook.pods(), pod.name, "base")
    assert (list(log.read(follow=True)), log.whole) == (["whole"], False)
    assert (list(log.read(follow=False)), log.whole) == (["cut"], True)
    assert list(log.read(follow=False)) == []


def test_only_the_time_around_the_break_is_asked_for_again(
    place: tuple[FakeKubernetes, KubernetesHook],
) -> None:
    fake, hook = place
    pod = new_pod(fake)
    now = datetime.now(UTC)
    pod.log("old", at=now - timedelta(hours=2))
    pod.log("new", at=now)
    log = ContainerLog(hook.pods(), pod.name, "base")
    fake.asked_since.clear()
    assert list(log.read(follow=False)) == ["old", "new"]
    assert list(log.read(follow=False)) == []
    first, second = fake.asked_since
    assert first is None
    assert second is not None
    assert 30 <= second < 300


steps = st.lists(
    st.tuples(st.sampled_from(["alpha", "beta", ""]), st.integers(-900, 1500)), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(
    steps,
    st.lists(
        st.tuples(
            st.integers(0, 6), st.sampled_from(["reset", "half", "clean", "half clean"])
        )
    ),
)
def test_no_line_is_lost_or_doubled_wherever_the_stream_breaks(
    place: tuple[FakeKubernetes, KubernetesHook],
    written: list[tuple[str, int]],
    cuts: list[tuple[int, str]],
) -> None:
    """Lines of both streams may stand up to a second before the line that they follow."""
    fake, hook = place
    pod = new_pod(fake)
    latest = NOW - timedelta(minutes=1)
    for text, step in written:
        at = latest + timedelta(milliseconds=step)
        latest = max(latest, at)
        pod.log(text, at=at)
    pod.end(0)
    fake.cuts = list(cuts)
    log = ContainerLog(hook.pods(), pod.name, "base")
    found: list[str] = []
    for _ in range(len(cuts) + 1):
        found += log.read(follow=True)
    found += log.read(follow=False)
    assert found == [text for text, _ in written]
