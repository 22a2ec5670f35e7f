"""What is kept of a failure, and above all what is not: no secret gets into any file."""

from __future__ import annotations

import base64
import json
import stat
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
import yaml

from rbac_matrix.client import RequestError
from rbac_matrix.clusters.audit import POLICY_FILE, AuditLog, with_audit
from rbac_matrix.clusters.cluster import Cluster
from rbac_matrix.clusters.credentials import Credentials
from rbac_matrix.failures.folder import INDEX, MOST, NAME, FailureFolder, plain, redact_files
from rbac_matrix.failures.look_around import kept_kubeconfig
from rbac_matrix.failures.parts import AUDIT_LINES, chosen_audit_lines
from rbac_matrix.failures.redact import REDACTED, Redactor
from rbac_matrix.failures.scene import Scene
from rbac_matrix.failures.trouble import Trouble, service_accounts
from rbac_matrix.failures.watch import Watch, paused_text
from rbac_matrix.probe.reviewer import REVIEWER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rbac_matrix.objects import Objects

pytest_plugins = "pytester"

REPOSITORY: Final = Path(__file__).parents[2]
PASSWORD: Final = 'correct "horse"/battery staple'  # noqa: S105 - made up, to be found
TOKEN: Final = (
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2lnbmF0dXJlLW9mLWl0"  # noqa: S105 - made up
)
PEM: Final = (
    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIvWbJm\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----\n"
)
CERTIFICATE: Final = (
    "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----\n"
)
SPACE: Final = "/api/v1/namespaces/shop"
USER: Final = "system:serviceaccount:shop:robot"
LEAKS: Final = {
    "plain": PASSWORD,
    "base64": base64.b64encode(PASSWORD.encode()).decode(),
    "json": json.dumps(PASSWORD),
    "url": quote(PASSWORD, safe=""),
    "token": TOKEN,
    "cut-token": TOKEN[:50],
    "key": PEM,
    "key-in-json": json.dumps(PEM),
    "key-in-base64": base64.b64encode(PEM.encode()).decode(),
    "header": "Authorization: Bearer 0123456789abcdef",
    "header-in-json": '"Authorization":["Basic dXNlcjpwYXNz"]',
    "bearer": "sent Bearer 0123456789abcdef",
    "setting": "DB_PASSWORD=hunter2hunter2",
    "yaml": "api-key: 0123456789abcdef",
}
"""Ways in which a secret gets into a text."""
SECRETS: Final = (
    PASSWORD, LEAKS["base64"], json.dumps(PASSWORD)[1:-1], LEAKS["url"], TOKEN, TOKEN[:50],
    "MHcCAQEE", LEAKS["key-in-base64"], "0123456789abcdef", "dXNlcjpwYXNz", "hunter2",
)  # fmt: skip
"""What must not be left of them."""


def secret(**data: str) -> dict[str, Any]:
    """A Secret as the server has it."""
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys", "namespace": "shop", "uid": "u-secret"},
        "data": encoded,
    }


@dataclass
class ScriptedAdmin:
    """Answers from a list of our own, and notes what it was asked."""

    answers: Mapping[str, dict[str, Any] | str | RequestError]
    asked: list[str] = field(default_factory=list)

    def request(self, method: str, path: str, **_: object) -> Any:  # noqa: ANN401 - any JSON
        """An object or a list."""
        self.asked.append(f"{method} {path}")
        answer = self.answers.get(path, {"items": []})
        if isinstance(answer, RequestError):
            raise answer
        return answer

    def text(self, path: str, **_: object) -> Any:  # noqa: ANN401 - as above
        """A log."""
        return self.request("GET", path)


def cluster(folder: Path, **settings: Any) -> Cluster:  # noqa: ANN401 - any field
    """A cluster that nobody reaches."""
    found = Cluster(
        provider="kubeconfig",
        admin=Credentials(server="https://127.0.0.1:1", ca_file=folder / "ca.crt"),
        kubectl=("kubectl", "--context", "shop"),
        probe_image="probe",
        disposable=False,
        check=lambda: None,
    )
    return replace(found, **settings)


def scene(
    folder: Path,
    answers: Mapping[str, Any],
    created: tuple[str, ...],
    **settings: Any,  # noqa: ANN401 - any field
) -> Scene:
    """What is on such a cluster."""
    admin: Any = ScriptedAdmin(answers)
    return Scene(cluster(folder, **settings), admin, created, time.time(), time.monotonic() + 60)


def pod(name: str, **metadata: object) -> dict[str, Any]:
    """A pod of one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": f"u-{name}", **metadata},
        "spec": {"containers": [{"name": "main", "image": "main"}]},
        "status": {"phase": "Running"},
    }


def event(message: str) -> dict[str, Any]:
    """An event about a pod."""
    return {
        "metadata": {},
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "type": "Warning",
        "reason": "Failed",
        "involvedObject": {"kind": "Pod", "name": "robot"},
        "message": message,
    }


def texts(folder: Path) -> dict[str, str]:
    """The text of each file, by its path within the folder."""
    found = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in found}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_no_secret_gets_into_any_file(leak: str, tmp_path: Path) -> None:
    """Whatever the source and however it is written: object, event, log, audit or message."""
    around = f"before {leak} after"
    audit, log = tmp_path / "audit", tmp_path / "server.log"
    audit.mkdir()
    stamp = "2999-01-01T00:00:00.000000Z"
    line = {"user": {"username": USER}, "requestURI": f"/x?{around}"}
    dumped = json.dumps({**line, "requestReceivedTimestamp": stamp}, separators=(",", ":"))
    (audit / "audit.log").write_text(dumped + "\n", encoding="utf-8")
    log.write_text(f"{around}\n", encoding="utf-8")
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "annotations": {"note": around}},
        "data": {"told": around, "token": around},
    }
    running = pod("robot")
    running["spec"]["containers"][0]["env"] = [{"name": "API_TOKEN", "value": "0123456789abcdef"}]
    kept = secret(password=PASSWORD)
    kept["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps(kept)
    }
    answers: dict[str, Any] = {
        SPACE: {"kind": "Namespace", "metadata": {"name": "shop", "uid": "u-shop"}},
        f"{SPACE}/secrets/keys": kept,
        f"{SPACE}/configmaps/settings": settings
        | {"metadata": {"uid": "u", **settings["metadata"]}},
        f"{SPACE}/pods/robot": running,
        f"{SPACE}/pods": {"items": [running]},
        f"{SPACE}/events": {"items": [event(around)]},
        f"{SPACE}/pods/robot/log": around,
        f"{SPACE}/roles/gone": RequestError("GET it", 500, around),
    }
    created = (SPACE, *(path for path in answers if path.count("/") == 6 and "log" not in path))
    found = scene(tmp_path, answers, created, server_log=log, audit=AuditLog(str(audit)))
    trouble = Trouble(around, (around,), around, (USER,), probes={around: [around]})
    report = FailureFolder(tmp_path / "report")

    report.keep(trouble, found)

    written = texts(report.folder)
    assert len(written) == 6
    for name, text in written.items():
        assert [each for each in SECRETS if each in text] == [], name
        # What is around it is there, so the file was not just empty.
        assert "nothing here" not in text, name
        assert REDACTED in text, name


def test_what_is_no_secret_stays() -> None:
    """Certificates are public, and words like token are part of what logs are about."""
    texts = [
        base64.b64encode(CERTIFICATE.encode()).decode(),
        CERTIFICATE,
        '"objectRef":{"resource":"secrets","namespace":"default","name":"sample"}',
        '"authorization.k8s.io/decision":"allow"',
        "--authorization-mode=Node,RBAC --service-account-key-file=/etc/sa.pub",
        'secrets "sample" not found; automountServiceAccountToken: false',
        "GET /api/v1/namespaces/default/secrets?limit=1",
    ]
    redactor = Redactor()
    redactor.learn(["true", "robot"])  # shorter than any secret

    assert [redactor.text(text) for text in texts] == texts
    assert redactor.text("true robot") == "true robot"


def test_a_kept_secret_can_be_applied_again() -> None:
    """Its data is Base64 still, after the file as a whole was gone through too."""
    redactor = Redactor()
    shown = redactor.object(secret(password=PASSWORD, token=TOKEN))

    dumped = redactor.text(yaml.safe_dump(shown))

    assert {base64.b64decode(value) for value in yaml.safe_load(dumped)["data"].values()} == {
        base64.b64decode("redacted")
    }


def test_what_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    """In the file itself and in the index; the other files are there."""
    refused = RequestError("GET /api/v1/namespaces/kube-system/pods", 403, "pods is forbidden")
    answers = {
        SPACE: {"kind": "Namespace", "metadata": {"name": "shop", "uid": "u"}},
        "/api/v1/namespaces/kube-system/pods": refused,
    }
    report = FailureFolder(tmp_path)

    trouble = Trouble(
        "a",
        ("robot may not get secrets in shop, but could (200)", "robot may not list them either"),
        "asked:     GET /api/v1/namespaces/shop/secrets/sample",
        subjects=(USER,),
        ask_again=(f"kubectl auth can-i get secrets --as={USER} -n shop",),
        access=True,
    )
    report.keep(trouble, scene(tmp_path, answers, (SPACE,)))

    written = texts(report.folder)
    golden("failures.txt", written[INDEX].replace(str(tmp_path), "report"))
    assert written["a/api-server.log"].startswith("# nothing here: ")
    assert "403: pods is forbidden" in written["a/api-server.log"]
    assert "403: pods is forbidden" in written[INDEX]
    assert "cannot be reached through a kubeconfig" in written["a/audit.jsonl"]
    assert "kind: Namespace" in written["a/objects.yaml"]


def test_a_silent_server_is_asked_once(tmp_path: Path) -> None:
    """Each request would take seconds, and the run waits."""
    silent = RequestError(f"GET {SPACE}", None, "timed out")
    found = scene(tmp_path, {SPACE: silent}, (SPACE, f"{SPACE}/pods/robot"))
    report = FailureFolder(tmp_path)

    report.keep(Trouble("a", ("b",)), found)

    admin: Any = found.admin
    assert len(admin.asked) == 1
    assert "timed out" in texts(report.folder)["a/objects.yaml"]


def test_looking_ends_in_time(tmp_path: Path) -> None:
    """What there was no time for is said to be so, and nothing is asked."""
    found = scene(tmp_path, {}, (SPACE,))
    found.ends = time.monotonic() - 1
    report = FailureFolder(tmp_path)

    report.keep(Trouble("a", ("b",)), found)

    admin: Any = found.admin
    assert admin.asked == []
    assert "there was no time left to look" in texts(report.folder)["a/events.txt"]


def test_pods_of_others_are_left_alone(tmp_path: Path) -> None:
    """In a namespace that is not the run's own, only its pods and those its objects made count."""
    mine = pod("made", ownerReferences=[{"uid": "u-set"}])
    made = {"metadata": {"name": "set", "uid": "u-set", "ownerReferences": [{"uid": "u-mine"}]}}
    answers: dict[str, Any] = {
        "/apis/apps/v1/namespaces/shop/deployments/mine": {
            "kind": "Deployment",
            "metadata": {"name": "mine", "namespace": "shop", "uid": "u-mine"},
        },
        "/apis/apps/v1/namespaces/shop/replicasets": {"items": [made]},
        f"{SPACE}/pods": {"items": [pod("theirs"), mine]},
    }

    found = scene(tmp_path, answers, ("/apis/apps/v1/namespaces/shop/deployments/mine",))

    assert [each["metadata"]["name"] for each in found.pods] == ["made"]


def test_files_are_for_this_user_alone(tmp_path: Path) -> None:
    """Redacted or not, the logs of a cluster are nobody else's business."""
    report = FailureFolder(tmp_path)
    report.keep(Trouble("a", ("b",)), scene(tmp_path, {}, ()))

    modes = {file.is_dir(): stat.S_IMODE(file.stat().st_mode) for file in report.folder.rglob("*")}
    assert modes == {True: 0o700, False: 0o600}
    assert stat.S_IMODE(report.folder.stat().st_mode) == 0o700


def test_hostile_names_stay_within_the_folder_and_act_on_nothing(tmp_path: Path) -> None:
    """Neither a path nor a terminal's or a workflow's command comes out of a name."""
    name = "../../evil\x1b[2J\n::error::x"
    report = FailureFolder(tmp_path / "report")

    folder = report.keep(Trouble(name, (name,), name), scene(tmp_path, {}, ()))

    assert folder is not None
    assert folder.parent == report.folder
    written = texts(report.folder)
    assert all("\x1b" not in text for text in written.values())
    assert not any(line.startswith("::") for line in written[INDEX].splitlines())


def test_each_failure_has_its_folder_up_to_a_number(tmp_path: Path) -> None:
    """Names that read the same are numbered; what is beyond the number is in the index."""
    report = FailureFolder(tmp_path)
    for number in range(MOST + 2):
        report.keep(Trouble(f"a/b{'?' * number}", ("b",)), scene(tmp_path, {}, ()))

    folders = [entry for entry in report.folder.iterdir() if entry.is_dir()]
    assert len(folders) == MOST
    assert report.failures == MOST + 2
    assert f"  a/b{'?' * (MOST + 1)}\n" in report.index.read_text(encoding="utf-8")


def test_the_failures_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    """A green run shows none; a folder that is not this suite's stays."""
    report = FailureFolder(tmp_path)
    report.keep(Trouble("a", ("b",)), scene(tmp_path, {}, ()))
    (tmp_path / "theirs" / NAME).mkdir(parents=True)

    FailureFolder(tmp_path).remove_earlier()
    FailureFolder(tmp_path / "theirs").remove_earlier()

    assert not report.folder.exists()
    assert (tmp_path / "theirs" / NAME).is_dir()


def test_a_failure_while_keeping_is_said_and_no_more(tmp_path: Path) -> None:
    """The run's own failure is what counts: a folder that cannot be written changes nothing."""
    (tmp_path / "report").write_text("a file in its place", encoding="utf-8")
    said: list[str] = []
    watch = Watch(FailureFolder(tmp_path / "report"), None, said.append, time.time())
    (tmp_path / "ca.crt").write_text(CERTIFICATE, encoding="utf-8")
    watch.cluster = cluster(tmp_path)

    watch.went_wrong(Trouble("a", ("b",)), None)

    assert [line.partition(":")[0] for line in said] == ["a"]
    assert "what was there is not kept" in said[0]


def test_logs_of_others_are_gone_through_in_place(tmp_path: Path) -> None:
    """Text loses its secrets, and what is no text goes: nobody can tell what is in it."""
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "kubelet.log").write_text(f"got {TOKEN}\nfine\n", encoding="utf-8")
    (tmp_path / "node" / "system.journal").write_bytes(b"LPKSHHRH\x00\x00" + TOKEN.encode())

    redact_files(tmp_path, Redactor())

    assert (tmp_path / "node" / "kubelet.log").read_text() == f"got {REDACTED}\nfine\n"
    assert not (tmp_path / "node" / "system.journal").exists()


def test_audit_lines_that_came_out_wrong_are_all_kept() -> None:
    """Of the others the last ones, with the count of what is cut; order stays."""
    wrong = '{"requestURI":"/wrong?a=1\\u0026b=2"}'
    others = [f'{{"requestURI":"/{number}"}}' for number in range(AUDIT_LINES + 5)]

    chosen = chosen_audit_lines([wrong, *others, wrong], ["/wrong?a=1&b=2"])

    assert json.loads(chosen[0]) == {"cut": "5 lines of requests that came out as declared"}
    assert chosen[1:] == [wrong, *others[5:], wrong]


def test_service_accounts_are_told_by_their_paths() -> None:
    """Only they; a token request below one is another thing."""
    paths = (SPACE, f"{SPACE}/serviceaccounts/robot", f"{SPACE}/serviceaccounts/robot/token")

    assert service_accounts(paths) == (USER,)


def test_text_is_made_plain_without_losing_its_lines() -> None:
    """What a terminal would act on, or what turns a text around, is written out."""
    assert plain("a\tb\n\x1b[31mred\x00\u202e") == "a\tb\n\\x1b[31mred\\x00\\x202e"


@pytest.mark.parametrize("name", ["kind.yaml", "kind-restricted.yaml"])
def test_the_kind_configurations_get_an_audit_log(name: str) -> None:
    """Beside what they have: the policy's file on the node, and the flags and folders for it."""
    config = yaml.safe_load((REPOSITORY / "manifests" / "cluster" / name).read_text())

    found = with_audit(config)

    assert found is not None
    own = config.get("kubeadmConfigPatches", [])
    assert found["kubeadmConfigPatches"][:-1] == own
    patch = yaml.safe_load(found["kubeadmConfigPatches"][-1])
    mount = found["nodes"][0]["extraMounts"][0]
    assert mount["hostPath"] == str(POLICY_FILE)
    assert patch["apiServer"]["extraArgs"]["audit-policy-file"] == mount["containerPath"]
    assert {volume["mountPath"] for volume in patch["apiServer"]["extraVolumes"]} == {
        mount["containerPath"],
        str(Path(patch["apiServer"]["extraArgs"]["audit-log-path"]).parent),
    }
    assert found["nodes"][0]["image"] == config["nodes"][0]["image"]


def test_a_configuration_of_the_api_server_is_left_alone() -> None:
    """Kind lets the last patch win, so ours would take away what somebody wants, or half of it."""
    patch = "kind: ClusterConfiguration\napiServer: {extraArgs: {v: '4'}}\n"

    assert with_audit({"kubeadmConfigPatches": [patch]}) is None


def test_the_audit_policy_leaves_the_reviewer_out() -> None:
    """It asks once for each question of everybody else; and nothing is noted with its body."""
    policy = yaml.safe_load(POLICY_FILE.read_text(encoding="utf-8"))

    assert policy["rules"][0] == {"level": "None", "users": [REVIEWER.username]}
    assert {rule["level"] for rule in policy["rules"]} == {"None", "Metadata"}
    assert policy["rules"][-1] == {"level": "None"}


def test_a_pause_says_how_to_look_around(tmp_path: Path) -> None:
    """What went wrong, how to reach the cluster, the same questions again, and the audit log."""
    trouble = Trouble("shop", ("robot may not\x1b",), "", (USER,), ask_again=("kubectl auth x",))
    audited = cluster(tmp_path, audit=AuditLog("/audit", ("docker", "exec", "node")))

    text = paused_text(audited, trouble, tmp_path / "k", (f"{SPACE}/pods/robot",), None)

    assert text.splitlines() == [
        "paused: shop went wrong, and everything is still there",
        "robot may not\\x1b",
        "",
        "In another terminal:",
        "",
        f"  export KUBECONFIG={tmp_path / 'k'}",
        "  kubectl auth x",
        f"  kubectl auth can-i --list --as={USER} -n shop",
        "  kubectl get rolebindings,clusterrolebindings --all-namespaces --output wide",
        "  kubectl get pods,events -n shop",
        "  kubectl logs -n kube-system -l component=kube-apiserver --tail 100",
        f'  docker exec node grep -rhF \'"username":"{USER}"\' /audit',
    ]


def test_only_a_cluster_with_a_kubeconfig_of_its_own_can_be_kept(tmp_path: Path) -> None:
    """kind's; the user's own is not this suite's, and local processes end with the run."""
    kind = cluster(tmp_path, kubectl=("kubectl", "--kubeconfig", "/k"))

    assert kept_kubeconfig(kind) == "/k"
    assert kept_kubeconfig(cluster(tmp_path)) == ""


def test_a_watch_waits_where_it_was_told_to(tmp_path: Path) -> None:
    """The kubeconfig that it shows is there while it waits, and not afterwards."""
    seen: list[str] = []

    def wait(text: str) -> None:
        file = text.partition("export KUBECONFIG=")[2].split()[0]
        seen.append(json.loads(Path(file).read_text())["current-context"])
        seen.append(file)

    watch = Watch(None, wait, print, time.time())
    watch.cluster = cluster(tmp_path)
    nothing: Objects | None = None

    watch.went_wrong(Trouble("a", ("b",)), nothing)

    assert seen[0] == "kubeconfig"
    assert not Path(seen[1]).exists()


REFUSALS: Final = {
    "no-terminal": (("--cluster=embedded",), "", "standard input is no terminal"),
    "ci": (("--cluster=embedded",), "true", "the environment says CI"),
    "no-cluster": (("--cluster=none",), "", "--cluster none has no cluster to look around on"),
}


@pytest.mark.parametrize(("options", "ci", "says"), REFUSALS.values(), ids=REFUSALS)
def test_a_pause_that_nobody_ends_is_refused(
    options: tuple[str, ...],
    ci: str,
    says: str,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the start, before a cluster is made."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_kind.plugin")
    pytester.makeconftest('pytest_plugins = ["rbac_matrix.plugin"]')

    result = pytester.runpytest_subprocess("--pause-on-failure", *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--pause-on-failure" in result.stderr.str()
    assert says in result.stderr.str()
