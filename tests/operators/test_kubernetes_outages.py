"""An API server that is away, refuses, forgets to answer, and breaks its streams."""

from __future__ import annotations

import pytest

from mlflowkit.errors import (
    ClusterForbidden,
    ClusterOutage,
    ClusterRefused,
    PodNameTaken,
)
from mlflowkit.operators.kubernetes import KubernetesPodOperator
from tests.kubernetes_server import FakePod, succeeds
from tests.operators.kubernetes_tasks import (
    Cluster,
    failure,
)


def test_a_server_that_is_away_for_a_moment_is_asked_again(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fake.story = succeeds("one", "two")
    for line in ("GET pods", "POST pods", "GET log", "DELETE pods"):
        cluster.fake.refuse(line, 500, "etcd leader changed")
        cluster.fake.refuse(line, 409, "try again")
        cluster.fake.refuse(line, 503, "not ready")
    assert cluster.test().states() == {"serve": "success"}
    assert capfd.readouterr().out == "one\ntwo\n"
    assert len(cluster.fake.created) == 1
    assert cluster.left() == []
    assert cluster.fake.refusals == []


def test_an_answer_that_got_lost_makes_no_second_pod(cluster: Cluster) -> None:
    cluster.fake.refuse("POST pods", 500, "timed out", after=True)
    assert cluster.test().states() == {"serve": "success"}
    assert len(cluster.fake.created) == 1
    assert cluster.fake.seen.count("POST pods") == 2


def test_a_pod_of_somebody_else_with_this_name_is_left_alone(cluster: Cluster) -> None:
    options = {"name": "model", "random_name_suffix": False}
    cluster.test(on_finish_action="keep_pod", **options)
    exc = failure(cluster, **options)
    assert isinstance(exc, PodNameTaken)
    assert "there is a pod 'model' in context 'fake', namespace 'models' that" in str(exc)
    assert cluster.left() == ["model"]


def test_a_long_outage_leaves_the_pod_for_the_next_attempt(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KubernetesPodOperator, "API_PATIENCE_SECONDS", 0.5)

    def story(pod: FakePod) -> None:
        pod.run()
        pod.server.refuse("GET pods", 503, "away", times=100)
        pod.server.refuse("GET log", 503, "away", times=100)

    exc = failure(cluster, story)
    assert isinstance(exc, ClusterOutage)
    assert "HTTP 503" in str(exc)
    assert len(cluster.left()) == 1


def test_what_the_server_refuses_is_said_at_once(cluster: Cluster) -> None:
    cluster.fake.refuse("POST pods", 403, "pods is forbidden: no create")
    exc = failure(cluster)
    assert isinstance(exc, ClusterForbidden)
    assert "not allowed to create pod" in str(exc)
    cluster.fake.refuse("POST pods", 404, 'namespaces "models" not found')
    exc = failure(cluster)
    assert isinstance(exc, ClusterRefused)
    assert exc.status == 404


def test_a_wrong_field_is_named_and_its_value_is_not_shown(cluster: Cluster) -> None:
    exc = failure(cluster, full_pod_spec={"spec": {"nodeSelektor": {"a": "geheim-123"}}})
    assert isinstance(exc, ClusterRefused)
    assert exc.status == 422
    assert "nodeSelektor" in str(exc)
    assert "geheim-123" not in str(exc)


@pytest.mark.parametrize("how", ["reset", "half", "clean", "half clean"])
@pytest.mark.parametrize("cut", [0, 1, 3, 5])
def test_a_broken_stream_loses_and_doubles_no_line(
    cluster: Cluster, capfd: pytest.CaptureFixture[str], how: str, cut: int
) -> None:
    lines = ["one", "same", "same", "two", "", "same", "last"]
    cluster.fake.cuts = [(cut, how), (2, how)]
    cluster.fake.story = succeeds(*lines)
    assert cluster.test().states() == {"serve": "success"}
    assert capfd.readouterr().out.splitlines() == lines
