"""A 403 after RBAC has said yes: admission's refusals are told apart from RBAC's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.answer import AnswerClass
from rbac_matrix.client import MERGE_PATCH
from rbac_matrix.deadline import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rbac_matrix.admin import Admin
    from rbac_matrix.client import Client, Response
    from rbac_matrix.workspace import Workspace

CREATES_PODS: Final = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}]
DEADLINE: Final = 30.0  # seconds


def pod(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - a JSON value of any kind
    """A pod that would be admitted, but for what `spec` says."""
    container = {"name": "web", "image": "none"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"serviceAccountName": "creator", "containers": [container], **spec},
    }


def create(client: Client, space: Workspace, body: dict[str, Any]) -> Response:
    """Try to create a pod in a dry run, which admission takes part in."""
    return client.send("POST", f"{space.core}/pods", body, query={"dryRun": "All"})


def creator_and_stranger(space: Workspace) -> tuple[Client, Client]:
    """Somebody who may create pods, and somebody who may not."""
    creator, stranger = space.subject("creator"), space.subject("stranger")
    space.grant(creator, CREATES_PODS)
    return space.client(creator), space.client(stranger)


def test_pod_security(new_space: Callable[..., Workspace]) -> None:
    """Pod Security refuses a pod to whom RBAC allows it; whom RBAC refuses it gets not so far."""
    space = new_space({"pod-security.kubernetes.io/enforce": "baseline"})
    creator, stranger = creator_and_stranger(space)

    assert create(creator, space, pod()).answer_class is AnswerClass.CREATED
    response = create(creator, space, pod(hostNetwork=True))
    assert response.answer_class is AnswerClass.DENIED_BY_ADMISSION
    assert 'violates PodSecurity "baseline:latest"' in response.message
    response = create(stranger, space, pod(hostNetwork=True))
    assert response.answer_class is AnswerClass.DENIED_BY_RBAC


def test_quota(space: Workspace, admin: Admin) -> None:
    """A quota refuses what goes beyond it, after RBAC has allowed it."""
    creator, stranger = creator_and_stranger(space)
    assert create(creator, space, pod()).answer_class is AnswerClass.CREATED

    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    space.create({"apiVersion": "v1", "kind": "ResourceQuota", **quota})

    def uncounted() -> str:
        found = admin.request("GET", f"{space.core}/resourcequotas/none")
        return "" if found.get("status", {}).get("used") else "its use is not counted yet"

    poll("the quota", uncounted, DEADLINE)
    response = create(creator, space, pod())
    assert response.answer_class is AnswerClass.DENIED_BY_ADMISSION
    assert "exceeded quota: none" in response.message
    assert create(stranger, space, pod()).answer_class is AnswerClass.DENIED_BY_RBAC


def test_a_service_account_that_is_not_there(space: Workspace) -> None:
    """A pod that names a ServiceAccount that does not exist is refused by admission."""
    creator, stranger = creator_and_stranger(space)

    response = create(creator, space, pod(serviceAccountName="nobody"))
    assert response.answer_class is AnswerClass.DENIED_BY_ADMISSION
    assert f"error looking up service account {space.namespace}/nobody" in response.message
    response = create(stranger, space, pod(serviceAccountName="nobody"))
    assert response.answer_class is AnswerClass.DENIED_BY_RBAC


@pytest.fixture(name="held")
def _held(space: Workspace, admin: Admin) -> Iterator[Workspace]:
    """A namespace that cannot end, because an object in it waits for a finalizer."""
    metadata = {"name": "held", "finalizers": ["rbac-matrix.example/held"]}
    space.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    yield space
    released = {"metadata": {"finalizers": None}}
    admin.send("PATCH", f"{space.core}/configmaps/held", released, content_type=MERGE_PATCH)


def test_a_terminating_namespace(held: Workspace, admin: Admin) -> None:
    """A namespace that ends takes nothing new; without a grant the refusal is RBAC's."""
    creator, stranger = held.subject("creator"), held.subject("stranger")
    # Grants of the namespace itself go while it ends.
    held.grant(creator, CREATES_PODS, everywhere=True)
    allowed, refused = held.client(creator), held.client(stranger)
    admin.request("DELETE", f"/api/v1/namespaces/{held.namespace}")

    response = create(allowed, held, pod())
    assert response.answer_class is AnswerClass.DENIED_BY_ADMISSION
    assert "because it is being terminated" in response.message
    assert create(refused, held, pod()).answer_class is AnswerClass.DENIED_BY_RBAC


def test_a_protected_namespace(admin: Admin) -> None:
    """Nobody deletes kube-system, not even the admin, whom RBAC allows everything."""
    response = admin.send("DELETE", "/api/v1/namespaces/kube-system", query={"dryRun": "All"})

    assert response.answer_class is AnswerClass.DENIED_BY_ADMISSION
    assert "this namespace may not be deleted" in response.message


def test_a_namespace_that_is_not_there(space: Workspace) -> None:
    """In a namespace that does not exist, who is allowed gets 404 and who is not gets 403."""
    creator, stranger = space.subject("creator"), space.subject("stranger")
    space.grant(creator, CREATES_PODS, everywhere=True)
    path = f"/api/v1/namespaces/{space.namespace}-not-there/pods"

    answers = [
        space.client(subject).send("POST", path, pod(), query={"dryRun": "All"}).answer_class
        for subject in (creator, stranger)
    ]
    assert answers == [AnswerClass.NOT_FOUND, AnswerClass.DENIED_BY_RBAC]
