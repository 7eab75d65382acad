"""Manifests of a model server: valid by Kubernetes' own schemas, whatever the facts."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflowkit.errors import BadServiceName
from mlflowkit.ml.manifests import (
    TEMPLATE_LABEL,
    Manifest,
    ServerFacts,
    dns_label,
    manifests,
    new_pods,
)

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def facts(**changes: Any) -> ServerFacts:
    given_facts = {
        "name": "digits",
        "namespace": "models",
        "model_uri": "s3://bucket/digits/v1",
        "image": "serve:1",
    }
    return ServerFacts(**{**given_facts, **changes})


def pod_of(deployment: Manifest) -> dict[str, Any]:
    return deployment["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def container_of(deployment: Manifest) -> dict[str, Any]:
    return pod_of(deployment)["containers"][0]  # type: ignore[no-any-return]


words = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_/.:", min_size=1, max_size=20)
any_facts = st.builds(
    ServerFacts,
    name=st.text(min_size=1, max_size=80)
    .filter(lambda s: re.search("[a-zA-Z0-9]", s))
    .map(dns_label),
    namespace=st.just("models"),
    model_uri=words.map(lambda w: f"s3://bucket/{w}"),
    image=words,
    connection=words,
    image_pull_policy=st.sampled_from(["Always", "IfNotPresent", "Never"]),
    image_pull_secret=st.none() | words,
    command=st.none() | st.lists(words, max_size=3).map(tuple),
    extra_args=st.lists(words, max_size=3).map(tuple),
    replicas=st.none() | st.integers(0, 100),
    cpu=st.sampled_from(["100m", "2"]),
    cpu_limit=st.none() | st.just("2"),
    memory=st.sampled_from(["512Mi", "2Gi"]),
    secret=st.none() | st.just("s3") | st.just("s3/uri"),
    service_account=st.none() | st.just("reader"),
    service_type=st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
    env=st.dictionaries(st.from_regex("[A-Z_]{1,9}", fullmatch=True), words, max_size=3),
    rollout_seconds=st.integers(2, 10_000),
)


@settings(max_examples=40, deadline=None)
@given(any_facts)
def test_every_manifest_is_valid_by_the_strict_schemas(some: ServerFacts) -> None:
    for manifest in manifests(some):
        kubernetes_validate.validate(manifest, "1.36", strict=True)


@settings(max_examples=100, deadline=None)
@given(any_facts)
def test_the_service_and_the_deployment_find_the_pods(some: ServerFacts) -> None:
    deployment, service = manifests(some)
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert service["spec"]["selector"].items() <= labels
    assert dict(p.split("=") for p in new_pods(deployment).split(",")).items() <= labels
    assert {len(value) <= 63 for _, value in labels} == {True}


@settings(max_examples=100, deadline=None)
@given(any_facts)
def test_a_pod_has_no_more_rights_than_it_needs(some: ServerFacts) -> None:
    deployment, _ = manifests(some)
    pod, container = pod_of(deployment), container_of(deployment)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {m["name"] for m in container["volumeMounts"]} == {
        v["name"] for v in pod["volumes"]
    }
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert {"requests", "limits"} <= container["resources"].keys()


@given(st.text(max_size=200))
def test_any_name_becomes_a_dns_label_or_an_error(name: str) -> None:
    if not re.search("[a-z0-9]", name.lower()):
        with pytest.raises(BadServiceName, match="Give another name="):
            dns_label(name)
        return
    label = dns_label(name)
    assert DNS_LABEL.fullmatch(label)
    assert len(label) <= 63
    assert dns_label(label) == label


@given(st.sets(st.text("aAbB1-_. ", min_size=1, max_size=70), min_size=2, max_size=2))
def test_two_names_never_become_one_label(names: set[str]) -> None:
    labels = [dns_label(n) for n in names if re.search("[a-z0-9]", n.lower())]
    assert len(set(labels)) == len(labels)


def test_names_that_are_labels_stay_as_they_are() -> None:
    assert dns_label("digits-2") == "digits-2"
    assert re.fullmatch("digits-model-[0-9a-f]{8}", dns_label("Digits_Model"))
    assert re.fullmatch("m-2fast-[0-9a-f]{8}", dns_label("2fast"))


def test_another_model_makes_other_pods_and_the_same_one_does_not() -> None:
    marks = [
        manifests(facts(**changes))[0]["spec"]["template"]["metadata"]["labels"][
            TEMPLATE_LABEL
        ]
        for changes in ({}, {}, {"replicas": 3}, {"model_uri": "s3://bucket/digits/v2"})
    ]
    assert marks[0] == marks[1] == marks[2] != marks[3]


def test_credentials_come_from_a_secret_or_a_service_account_never_in_the_open() -> None:
    whole = container_of(manifests(facts(secret="s3"))[0])
    assert whole["envFrom"] == [{"secretRef": {"name": "s3"}}]
    one_key = container_of(manifests(facts(secret="s3/uri", connection="my-minio"))[0])
    assert one_key["env"][-1] == {
        "name": "MLFLOWKIT_CONN_MY_MINIO",
        "valueFrom": {"secretKeyRef": {"name": "s3", "key": "uri"}},
    }
    pod = pod_of(manifests(facts(service_account="model-reader"))[0])
    assert pod["serviceAccountName"] == "model-reader"


def test_an_image_imported_by_hand_can_be_used() -> None:
    by_hand = facts(
        image="x:dev", image_pull_policy="Never", command=("python", "-m", "mine")
    )
    container = container_of(manifests(by_hand)[0])
    assert (container["image"], container["imagePullPolicy"]) == ("x:dev", "Never")
    assert container["command"] == ["python", "-m", "mine"]


def test_an_autoscaler_keeps_its_replicas() -> None:
    assert "replicas" not in manifests(facts(replicas=None))[0]["spec"]


def test_the_arguments_are_those_that_the_server_takes() -> None:
    from mlflowkit.ml.serve import arguments

    options = arguments().parse_args(container_of(manifests(facts())[0])["args"])
    assert (options.model, options.host, options.port) == (
        "s3://bucket/digits/v1",
        "0.0.0.0",
        8080,
    )
    assert options.gated is None
