"""The pod that the agent runs in: one a subject, restricted, with the subject's mounted token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.cell import ResourceName
from rbac_matrix.deadline import poll
from rbac_matrix.pods import is_hopeless, is_ready, waiting_for
from rbac_matrix.probe.session import ProbeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.cell import Subject
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.objects import Objects

READY_DEADLINE: Final = 90.0  # seconds
AGENT: Final = ("python3", "-I", "/probe/agent.py")


def pod_name(subject: Subject) -> str:
    """The name of the subject's probe pod."""
    return f"rbac-matrix-probe-{subject.name}"


def pod_manifest(subject: Subject, image: str) -> dict[str, Any]:
    """The pod: Pod Security "restricted", nothing writable, no more than it needs."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod_name(subject), "namespace": subject.namespace},
        "spec": {
            "serviceAccountName": subject.name,
            "automountServiceAccountToken": True,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": [*AGENT, "wait"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
                }
            ],
        },
    }


def wait_until_running(objects: Objects, subjects: Sequence[Subject]) -> None:
    """Wait until every subject's probe pod runs.

    Raises:
        ProbeError: One cannot run, with what its container is waiting for.
        DeadlineError: One did not run in time.
    """
    pods = objects.discovery.find(ResourceName("", "pods"))

    def missing() -> str:
        late = []
        for subject in subjects:
            pod = objects.get(pods, subject.namespace, pod_name(subject)) or {}
            status = pod.get("status", {})
            state = waiting_for(status)
            if is_hopeless(status):
                raise ProbeError(
                    f"the probe pod {subject.namespace}/{pod_name(subject)} cannot run: "
                    f"{state or status.get('phase')}; its image is "
                    f"{pod['spec']['containers'][0]['image']} (--probe-image)"
                )
            if not is_ready(status):
                late.append(f"{subject}: {state or status.get('phase', 'absent')}")
        return "; ".join(late)

    poll("waiting for the probe pods", missing, READY_DEADLINE)


def exec_command(cluster: Cluster, subject: Subject) -> list[str]:
    """The command that runs the agent in the subject's pod, its pipes in our hands."""
    where = ["exec", "-i", "-n", subject.namespace, pod_name(subject)]
    return [*cluster.kubectl, *where, "--", *AGENT, "ask"]
