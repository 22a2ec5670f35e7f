"""The files that are kept of a failure: what each has, and why it has nothing."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import yaml

from rbac_matrix.client import RequestError
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.failures.trouble import service_accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from rbac_matrix.failures.redact import Redactor
    from rbac_matrix.failures.scene import Scene
    from rbac_matrix.failures.trouble import Trouble

LOG_LINES: Final = 4000
"""Lines of the API server's log at most; the last ones are kept."""
POD_LINES: Final = 1000
AUDIT_LINES: Final = 300
"""Audit log lines of requests that came out as declared; those of the others are all kept."""
LOG_BYTES: Final = 4 << 20
KUBE_SYSTEM: Final = "/api/v1/namespaces/kube-system/pods"
_NOISE: Final = ("managedFields", "resourceVersion", "uid", "generation")
_JOB_LABELS: Final = ("controller-uid", "job-name")
_REQUEST_URI: Final = re.compile(r'"requestURI":"((?:[^"\\]|\\.)*)"')


class NothingToKeepError(RbacMatrixError):
    """There is nothing to put into a file; the message says why."""


@dataclass(frozen=True)
class Part:
    """A file to be made.

    Attributes:
        file: Its name.
        about: What it is, a few words.
        read: Reads what goes into it. It raises where there is nothing.
    """

    file: str
    about: str
    read: Callable[[Scene, Trouble, Redactor], str]


def objects_as_yaml(scene: Scene, _: Trouble, redactor: Redactor) -> str:
    """What this run has created, as the server has it, ready to be applied again."""
    if not scene.created:
        raise NothingToKeepError("nothing that this run created was on the cluster")
    documents = []
    for path, body in scene.objects:
        if isinstance(body, RequestError):
            documents.append(f"# {path}: {body}\n")
            continue
        shown = redactor.object(without_what_servers_set(body))
        # No line is folded: a value that spans two lines would not be found.
        dumped = yaml.safe_dump(shown, sort_keys=False, width=1 << 20)
        documents.append(f"# {path}\n{dumped}")
    return "---\n".join(documents)


def events(scene: Scene, *_: object) -> str:
    """The events of every namespace that the trouble may be in, oldest first."""
    rows = []
    for namespace in scene.namespaces:
        for event in scene.get(f"/api/v1/namespaces/{namespace}/events")["items"]:
            about = event["involvedObject"]
            rows.append(
                (
                    _when(event),
                    str(event.get("type", "")),
                    str(event.get("reason", "")),
                    f"{namespace}/{about.get('kind', '')}/{about.get('name', '')}".lower(),
                    f"{event.get('count') or 1}x",
                    " ".join(str(event.get("message", "")).split()),
                )
            )
    if not rows:
        where = ", ".join(scene.namespaces) or "no namespace"
        raise NothingToKeepError(f"no event in {where}")
    began = (scene.since.strftime("%Y-%m-%dT%H:%M:%SZ"), "", "", "", "", "---- this run began ----")
    table = [("WHEN", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"), *sorted([*rows, began])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:-1]
    return "".join(
        "  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() + "\n" for row in table
    )


def probe_logs(scene: Scene, trouble: Trouble, _: Redactor) -> str:
    """What the probes and all other pods of this run wrote; local probes have standard error."""
    shown = []
    for who, lines in trouble.probes.items():
        wrote = "".join(f"{line}\n" for line in lines) or "(nothing)\n"
        shown.append(f"==== the probe of {who}, standard error ====\n{wrote}")
    for pod in scene.pods:
        metadata, status = pod["metadata"], pod.get("status", {})
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log"
        for container in pod["spec"]["containers"]:
            name = container["name"]
            title = f"pod {metadata['namespace']}/{metadata['name']} ({status.get('phase')})"
            query = {"container": name, "tailLines": str(POD_LINES), "timestamps": "true"}
            try:
                text = scene.text(path, query)
            except RequestError as error:
                text = f"cannot be read: {error}"
            shown.append(f"==== {title}, container {name} ====\n{_ended(text or '(nothing)')}")
    if not shown:
        raise NothingToKeepError("there is no pod and no probe")
    return "\n".join(shown)


def server_log(scene: Scene, *_: object) -> str:
    """The end of the API server's log, as far as it is of this run."""
    if scene.cluster.server_log is not None:
        return _last_lines(_end_of(scene.cluster.server_log), LOG_LINES)
    pods = scene.get(KUBE_SYSTEM, {"labelSelector": "component=kube-apiserver"})["items"]
    if not pods:
        raise NothingToKeepError("no pod in kube-system says component=kube-apiserver")
    seconds = max(1, int(datetime.now(UTC).timestamp() - scene.began))
    # By the node's own clock, which need not be this one's.
    query = {"sinceSeconds": str(seconds), "tailLines": str(LOG_LINES + 1)}
    return "\n".join(
        f"==== {pod['metadata']['name']} ====\n"
        + _last_lines(scene.text(f"{KUBE_SYSTEM}/{pod['metadata']['name']}/log", query), LOG_LINES)
        for pod in pods
    )


def audit_lines(scene: Scene, trouble: Trouble, _: Redactor) -> str:
    """The audit log's lines of the subjects, first of all those that came out wrong."""
    log = scene.cluster.audit
    if log is None:
        raise NothingToKeepError(_no_audit(scene.cluster.provider))
    usernames = trouble.subjects or service_accounts(scene.created)
    if not usernames:
        raise NothingToKeepError("no ServiceAccount is known to be concerned")
    since = scene.since.strftime("%Y-%m-%dT%H:%M:%S")
    lines = [
        line for username in usernames for line in log.lines(username) if _audit_time(line) >= since
    ]
    if not lines:
        raise NothingToKeepError(f"no line of {', '.join(usernames)} since {since}")
    return "".join(f"{line}\n" for line in chosen_audit_lines(lines, trouble.paths))


PARTS: Final = (
    Part("objects.yaml", "what the run had created, as the server had it", objects_as_yaml),
    Part("events.txt", "the events of its namespaces", events),
    Part("probes.log", "what the probes and other pods of the run wrote", probe_logs),
    Part("audit.jsonl", "the API server's audit log, lines of the subjects", audit_lines),
    Part("api-server.log", "the API server's own log", server_log),
)


def without_what_servers_set(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what stands in the way of applying it again.

    A Job's selector is its controller's to choose. Source: validation.go of pkg/apis/batch.
    """
    metadata = {key: value for key, value in body["metadata"].items() if key not in _NOISE}
    found = {**body, "metadata": metadata}
    if body.get("kind") == "Job" and not body["spec"].get("manualSelector"):
        spec = {key: value for key, value in body["spec"].items() if key != "selector"}
        template = {**spec["template"], "metadata": dict(spec["template"].get("metadata") or {})}
        labels = template["metadata"].pop("labels", None) or {}
        template["metadata"]["labels"] = {
            key: value for key, value in labels.items() if not key.endswith(_JOB_LABELS)
        }
        found["spec"] = {**spec, "template": template}
    return found


def chosen_audit_lines(lines: Sequence[str], paths: Iterable[str]) -> list[str]:
    """All lines of the requests that came out wrong, and the last ones of the others.

    Args:
        lines: Audit events, a JSON object a line.
        paths: The URL paths of the requests that came out wrong.
    """
    wrong = set(paths)
    others = sum(_uri(line) not in wrong for line in lines)
    left_out = itertools.count(max(0, others - AUDIT_LINES), -1)
    kept = [line for line in lines if _uri(line) in wrong or next(left_out) <= 0]
    if cut := len(lines) - len(kept):
        kept.insert(0, f'{{"cut": "{cut} lines of requests that came out as declared"}}')
    return kept


def _no_audit(provider: str) -> str:
    if provider == "kubeconfig":
        return "the API server's audit log cannot be reached through a kubeconfig"
    return "the API server keeps none: it was started without --report-dir or --pause-on-failure"


def _uri(line: str) -> str:
    found = _REQUEST_URI.search(line)
    # Go escapes these three in JSON. Source: HTMLEscape of encoding/json.
    text = found[1] if found else ""
    return text.replace("\\u0026", "&").replace("\\u003c", "<").replace("\\u003e", ">")


def _audit_time(line: str) -> str:
    _, mark, rest = line.partition('"requestReceivedTimestamp":"')
    return rest[:19] if mark else ""


def _when(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    found = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp", "")
    )
    return f"{str(found)[:19]}Z"


def _last_lines(text: str, count: int) -> str:
    lines = text.splitlines(keepends=True)
    if len(lines) <= count:
        return _ended(text or "(nothing)")
    return f"(older lines are cut: the last {count} are here)\n" + _ended("".join(lines[-count:]))


def _end_of(file: Path) -> str:
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - LOG_BYTES))
        return stream.read().decode(errors="replace")


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
