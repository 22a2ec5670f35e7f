"""The policy judge names the line of the rule, for what it allows and for what it denies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rbac_matrix.cell import ResourceName, ResourceQuestion, Subject
from rbac_matrix.errors import Position
from rbac_matrix.judges.written_policy import PolicyJudge
from rbac_matrix.manifests import load_manifests

if TYPE_CHECKING:
    from pathlib import Path

CLERK: Final = Subject("default", "clerk")
MANIFESTS: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: clerk, namespace: default}
rules:
  - apiGroups: [""]
    resources: [services]
    verbs: [get]
  - apiGroups: [""]
    resources: [pods]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: clerk, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: clerk}
subjects: [{kind: ServiceAccount, name: clerk, namespace: default}]
"""


def test_grant_and_nearest_rule_have_the_line_of_the_rule(tmp_path: Path) -> None:
    """Of a Role with two rules it is the second one's line, not the Role's."""
    file = tmp_path / "rbac.yaml"
    file.write_text(MANIFESTS, encoding="utf-8")
    judge = PolicyJudge(load_manifests(tmp_path, [], Position(file, 1)), [])
    pods = ResourceName("", "pods")
    got, listed = (ResourceQuestion(verb, pods, "default") for verb in ("get", "list"))

    granted, denied = judge.opinions(CLERK, [got])[0], judge.denial(CLERK, listed)

    assert granted.because.endswith(f"rule 2 [{file}:8]")
    assert str(denied) == f"denied: Role clerk grants get on pods, not list [{file}:8]"
    assert granted.at == denied.at == Position(file, 8)
