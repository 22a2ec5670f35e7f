"""Reading scenarios: what a good one means, and one clear error for each way to write a bad one."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.cell import (
    VERBS,
    Cell,
    PathQuestion,
    ResourceName,
    ResourceQuestion,
    Subject,
)
from rbac_matrix.errors import InputError, Position
from rbac_matrix.scenario_file import load_scenario

if TYPE_CHECKING:
    from pathlib import Path

    from rbac_matrix.discovery import Discovery
    from rbac_matrix.scenario import Scenario

EXPECTATIONS: Final = """\
scenario: shop
title: A shop
manifests: shop
ask:
  namespaces: [team-a, bystander]
  cluster: true
  resources: [pods, pods/log, jobs.batch, nodes, namespaces]
subjects:
  - serviceAccount: clerk
    namespace: team-a
    allow:
      - verbs: {get: 200, list: 200}
        resources: [pods]
        namespaces: [team-a]
        why: Role clerk grants get and list on pods in team-a.
    deny:
      - verbs: [watch]
        resources: [pods]
        namespaces: [team-a]
        why: watch is a verb of its own.
"""

ROLE_BINDING: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: clerk
  namespace: team-a
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: clerk
"""

MANIFESTS: Final = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: team-a
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: clerk
  namespace: team-a
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: clerk
  namespace: team-a
rules:
  - apiGroups: [""]
    resources: [pods]
    verbs: [get, list]
---
{ROLE_BINDING}\
subjects:
  - kind: ServiceAccount
    name: clerk
    namespace: team-a
"""

# What the mistakes below replace.
RESOURCES: Final = "[pods, pods/log, jobs.batch, nodes, namespaces]"
ALLOW: Final = "- verbs: {get: 200, list: 200}\n        resources: [pods]\n"
DENY: Final = "- verbs: [watch]\n        resources: [pods]"
ALLOWED_PODS: Final = f"{ALLOW}        namespaces: [team-a]\n        why: Role clerk"
DENIED_PODS: Final = f"{DENY}\n        namespaces: [team-a]"
IN_TEAM_A: Final = "        namespaces: [team-a]\n        why: Role clerk"

EXPECTED: Final = "shop.yaml"
MANIFEST: Final = "shop/objects.yaml"


@dataclass(frozen=True)
class Mistake:
    """One edit of the good files, and the error that it must give.

    Attributes:
        file: The file that is edited.
        old: What the good file says; empty to replace all of it.
        new: What the bad file says. The error must point at its line that ends in `# here`, at
            line 1 where none does.
        says: What the error must say.
    """

    file: str
    old: str
    new: str
    says: str


MISTAKES: Final = {
    # The form of an expectations file.
    "empty": Mistake(EXPECTED, "", "", "is empty"),
    "only-a-comment": Mistake(EXPECTED, "", "# Nothing yet.\n", "is empty"),
    "not-yaml": Mistake(
        EXPECTED,
        "title: A shop",
        "title: A: shop # here",
        "is not YAML: mapping values are not allowed",
    ),
    "indented-with-a-tab": Mistake(
        EXPECTED, "  cluster: true", "\tcluster: true # here", "is not YAML: found a tab"
    ),
    "no-mapping": Mistake(EXPECTED, "", "- shop\n", "is not of type 'object'"),
    "several-documents": Mistake(
        EXPECTED, "ask:", "---\nask: # here", "an expectations file is one YAML document"
    ),
    "duplicate-key": Mistake(
        EXPECTED,
        "title: A shop",
        "title: A shop\ntitle: Another shop # here",
        'found duplicate key "title"',
    ),
    "unknown-key": Mistake(
        EXPECTED,
        "title: A shop",
        "title: A shop\nallow: [] # here",
        "unknown key 'allow'; known here: ask, manifests, samples, scenario, subjects",
    ),
    "unknown-key-of-a-subject": Mistake(
        EXPECTED, "    deny:", "    denied: # here", "subjects[0].denied: unknown key 'denied'"
    ),
    "unknown-key-of-an-allowance": Mistake(
        EXPECTED,
        "        why: Role clerk",
        "        namespace: team-a # here\n        why: Role clerk",
        "unknown key 'namespace'; known here: cluster, names, namespaces,",
    ),
    "missing-key": Mistake(
        EXPECTED,
        f"{DENY}\n        namespaces: [team-a]\n        why: watch is a verb of its own.",
        "- verbs: [watch] # here\n        resources: [pods]\n        namespaces: [team-a]",
        "subjects[0].deny[0]: 'why' is a required property",
    ),
    # Names: a misspelt one must never become a question that everybody is refused.
    "unknown-verb-allowed": Mistake(
        EXPECTED,
        "{get: 200, list: 200}",
        "{get: 200, read: 200} # here",
        "'read' is not one of get, list, watch, create, update, patch, delete, deletecollection",
    ),
    "unknown-verb-denied": Mistake(
        EXPECTED,
        "[watch]",
        "[watch, log] # here",
        "subjects[0].deny[0].verbs[1]: 'log' is not one of get,",
    ),
    "singular-resource": Mistake(
        EXPECTED,
        RESOURCES,
        "[pod] # here",
        "no resource 'pod' is served (write its plural, with its group: jobs.batch); did you mean "
        "pods?",
    ),
    "singular-resource-denied": Mistake(
        EXPECTED,
        DENY,
        "- verbs: [watch]\n        resources: [pod] # here",
        "did you mean pods?",
    ),
    "kind-for-resource": Mistake(
        EXPECTED, RESOURCES, "[Pod] # here", "A resource is written plural[.group][/subresource]"
    ),
    "wrong-group": Mistake(
        EXPECTED, RESOURCES, "[jobs.extensions] # here", "did you mean jobs.batch?"
    ),
    "missing-group": Mistake(EXPECTED, RESOURCES, "[jobs] # here", "did you mean jobs.batch?"),
    "wrong-subresource": Mistake(
        EXPECTED,
        RESOURCES,
        "[pods/logs] # here",
        "pods has no subresource 'logs'; it has attach, binding, ephemeralcontainers, eviction, "
        "exec, log,",
    ),
    "subresource-of-a-resource-without": Mistake(
        EXPECTED,
        RESOURCES,
        "[configmaps/status] # here",
        "configmaps has no subresource 'status'; it has none",
    ),
    "name-with-a-slash": Mistake(
        EXPECTED,
        ALLOW,
        "- verbs: {get: 200}\n        resources: [pods]\n        names: [web/log] # here\n",
        "'web/log' cannot be here",
    ),
    # Questions that no request puts.
    "list-of-a-subresource": Mistake(
        EXPECTED,
        DENY,
        "- verbs: [list]\n        resources: [pods/log] # here",
        "no request is a list of pods/log: a request for a subresource always names its parent",
    ),
    "cluster-scoped-resource-in-namespaces-only": Mistake(
        EXPECTED,
        DENY,
        "- verbs: [watch]\n        resources: [nodes] # here",
        "nodes is not namespaced: no watch in the scopes given",
    ),
    "list-of-namespaces-in-a-namespace": Mistake(
        EXPECTED,
        DENY,
        "- verbs: [list]\n        resources: [namespaces] # here",
        "a request that names a namespace is asked in that namespace, the others at cluster scope",
    ),
    "named-object-of-a-collection": Mistake(
        EXPECTED,
        DENY,
        "- verbs: [deletecollection]\n        resources: [pods]\n        names: [web] # here",
        "a deletecollection of pods names no object",
    ),
    "named-namespace-in-itself": Mistake(
        EXPECTED,
        DENIED_PODS,
        "- verbs: [get]\n        resources: [namespaces]\n        names: [web] # here\n"
        "        namespaces: [team-a]",
        "a get of namespaces in team-a names that namespace: leave `names` out",
    ),
    "resource-by-a-method": Mistake(
        EXPECTED,
        DENY,
        "- verbs: [post] # here\n        resources: [pods]",
        "post is a verb of paths, not of resources",
    ),
    "named-object-of-a-create": Mistake(
        EXPECTED,
        DENY,
        "- verbs: [create]\n        resources: [pods]\n        names: [web] # here",
        "a create of pods names no object",
    ),
    # Subjects and scopes.
    "subject-that-no-manifest-defines": Mistake(
        EXPECTED,
        "serviceAccount: clerk",
        "serviceAccount: cook # here",
        "no manifest defines the ServiceAccount team-a/cook; defined: team-a/clerk",
    ),
    "subject-of-another-namespace": Mistake(
        EXPECTED,
        "serviceAccount: clerk\n    namespace: team-a",
        "serviceAccount: clerk # here\n    namespace: default",
        "no manifest defines the ServiceAccount default/clerk",
    ),
    "stock-subject-in-a-namespace-that-nothing-creates": Mistake(
        EXPECTED,
        "serviceAccount: clerk\n    namespace: team-a",
        "serviceAccount: default\n    namespace: team-b # here",
        "nothing creates the namespace 'team-b'",
    ),
    "subject-twice": Mistake(
        EXPECTED,
        "  - serviceAccount: clerk\n",
        "  - {serviceAccount: clerk, namespace: team-a}\n  - serviceAccount: clerk # here\n",
        "a second subject named 'clerk'",
    ),
    "namespace-that-nothing-creates": Mistake(
        EXPECTED,
        "[team-a, bystander]",
        "[team-a, team-b] # here",
        "nothing creates the namespace 'team-b'; there are bystander, default,",
    ),
    "pattern-that-matches-no-namespace": Mistake(
        EXPECTED,
        IN_TEAM_A,
        "        namespaces: [team-a, team-b*] # here\n        why: Role clerk",
        "'team-b*' matches no namespace of `ask` (team-a, bystander)",
    ),
    "no-scope": Mistake(
        EXPECTED,
        f"{ALLOW}{IN_TEAM_A}",
        "- verbs: {get: 200} # here\n        resources: [pods]\n        why: Role clerk",
        "with resources and namespaces, `cluster: true` or both are required",
    ),
    "only-cluster-false": Mistake(
        EXPECTED,
        f"{ALLOW}{IN_TEAM_A}",
        "- verbs: {get: 200} # here\n        resources: [pods]\n        cluster: false\n"
        "        why: Role clerk",
        "covers no scope: name namespaces, or say `cluster: true`",
    ),
    "allowance-of-a-resource-that-is-not-asked": Mistake(
        EXPECTED,
        ALLOW,
        "- verbs: {list: 200} # here\n        resources: [secrets]\n",
        "list secrets in team-a is not among the cells of `ask`: add the resource or the namespace",
    ),
    "denial-of-a-resource-that-is-not-asked": Mistake(
        EXPECTED,
        DENY,
        "- verbs: [list] # here\n        resources: [secrets]",
        "list secrets in team-a is not among the cells of `ask`",
    ),
    "cluster-scope-that-is-not-asked": Mistake(
        EXPECTED,
        "",
        EXPECTATIONS.replace("  cluster: true\n", "")
        .replace(", nodes", "")
        .replace(IN_TEAM_A, f"        cluster: true # here\n{IN_TEAM_A}"),
        "`ask` does not ask at cluster scope",
    ),
    "resource-without-a-cell": Mistake(
        EXPECTED,
        "  cluster: true\n  resources: [pods, pods/log, jobs.batch, nodes, namespaces]",
        "  resources:\n  - pods\n  - nodes # here",
        "nodes has no cell in these scopes",
    ),
    # Expectations that contradict each other or cannot come.
    "both-allowed-and-denied": Mistake(
        EXPECTED,
        "- verbs: [watch]",
        "- verbs: [watch, list] # here",
        "clerk list pods in team-a: denied here, allowed in ",
    ),
    "allowed-twice": Mistake(
        EXPECTED,
        "    deny:",
        "      - verbs: {get: 404} # here\n        resources: [pods]\n"
        "        namespaces: ['team-*']\n        why: Once more.\n    deny:",
        "get pods in team-a: declared here and in ",
    ),
    "denied-twice": Mistake(
        EXPECTED,
        "- verbs: [watch]",
        "- {verbs: [watch], resources: [pods], namespaces: ['*'], why: So.}\n"
        "      - verbs: [watch] # here",
        "watch pods in team-a: declared here and in ",
    ),
    **{
        f"allowed-with-status-{status}": Mistake(
            EXPECTED, "{get: 200, list: 200}", f"{{get: {status}}} # here", says
        )
        for status, says in {
            "199": "199 is less than the minimum of 200",
            "401": "401 cannot be here: The status of a request that authorization let through",
            "403": "403 cannot be here: The status of a request that authorization let through",
            "429": "429 cannot be here: The status of a request that authorization let through",
            "500": "500 is greater than the maximum of 499",
            "yes": "True is not of type 'integer'",
        }.items()
    },
    # Paths.
    "path-by-another-method": Mistake(
        EXPECTED,
        ALLOWED_PODS,
        "- verbs: {create: 201} # here\n        paths: [/metrics]\n        why: Role clerk",
        "create is no verb of a path; those are get, head, post, put, patch, delete, options",
    ),
    "path-denied-to-another-method": Mistake(
        EXPECTED,
        DENIED_PODS,
        "- verbs: [list] # here\n        paths: [/metrics]",
        "list is no verb of a path; those are get, head",
    ),
    "path-with-a-pattern": Mistake(
        EXPECTED,
        DENIED_PODS,
        "- verbs: [get]\n        paths: [/metrics/*] # here",
        "'/metrics/*' cannot be here: A path starts with a slash and has no pattern, query or",
    ),
    "path-with-a-query": Mistake(
        EXPECTED,
        DENIED_PODS,
        "- verbs: [get]\n        paths: ['/healthz?verbose'] # here",
        "'/healthz?verbose' cannot be here",
    ),
    "path-without-a-slash": Mistake(
        EXPECTED,
        DENIED_PODS,
        "- verbs: [get]\n        paths: [metrics] # here",
        "'metrics' cannot be here",
    ),
    "path-both-allowed-and-denied": Mistake(
        EXPECTED,
        "    deny:",
        "      - {verbs: {get: 200}, paths: [/metrics], why: So.}\n    deny:\n"
        "      - verbs: [get] # here\n        paths: [/metrics]\n        why: So.",
        "clerk get /metrics: denied here, allowed in ",
    ),
    "path-twice": Mistake(
        EXPECTED,
        "    deny:\n",
        "    deny:\n      - {verbs: [get], paths: [/metrics], why: So.}\n"
        "      - {verbs: [get], paths: [/logs/, /metrics], why: So.} # here\n",
        "get /metrics: declared here and in ",
    ),
    # The scenario and its folder.
    "name-differs-from-the-file": Mistake(
        EXPECTED, "scenario: shop", "scenario: store # here", "must be 'shop', as the file is named"
    ),
    "missing-manifests-folder": Mistake(
        EXPECTED, "manifests: shop", "manifests: store # here", "store does not exist"
    ),
    "missing-samples-folder": Mistake(
        EXPECTED,
        "manifests: shop",
        "manifests: shop\nsamples: pods # here",
        "the samples folder",
    ),
    "without-a-file-that-is-not-there": Mistake(
        EXPECTED,
        "manifests: shop",
        "manifests: shop # here\nwithout: [role.yaml]",
        "leaves out role.yaml, which is not a file of ",
    ),
    "without-every-file": Mistake(
        EXPECTED,
        "manifests: shop",
        "manifests: shop # here\nwithout: [objects.yaml]",
        "holds no object",
    ),
    # Manifests.
    "manifest-empty": Mistake(MANIFEST, "", "---\n", "is empty"),
    "manifest-not-yaml": Mistake(
        MANIFEST,
        'rules:\n  - apiGroups: [""]',
        'rules: [\n  - apiGroups: [""] # here',
        "expected node content",
    ),
    "manifest-with-a-duplicate-key": Mistake(
        MANIFEST,
        "    verbs: [get, list]",
        "    verbs: [get, list]\n    verbs: ['*'] # here",
        'found duplicate key "verbs"',
    ),
    "verb-for-verbs": Mistake(
        MANIFEST,
        "    verbs: [get, list]",
        "    verb: [get, list] # here",
        "rules[0].verb: unknown key 'verb'; known here: apiGroups, nonResourceURLs, resourceNames,",
    ),
    "unquoted-boolean-for-a-verb": Mistake(
        MANIFEST, "[get, list]", "[on] # here", "True is not of type 'string'"
    ),
    "rule-without-verbs": Mistake(
        MANIFEST, "    verbs: [get, list]", "    verbs: [] # here", "should be non-empty"
    ),
    "old-api-version": Mistake(
        MANIFEST,
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n",
        "apiVersion: rbac.authorization.k8s.io/v1beta1 # here\nkind: Role\n",
        "'rbac.authorization.k8s.io/v1' was expected",
    ),
    "role-without-a-namespace": Mistake(
        MANIFEST,
        "metadata:\n  name: clerk\n  namespace: team-a\nrules:",
        "metadata: # here\n  name: clerk\nrules:",
        "metadata: 'namespace' is a required property",
    ),
    "binding-to-a-role-that-does-not-exist": Mistake(
        MANIFEST,
        ROLE_BINDING,
        ROLE_BINDING.replace("/v1", "/v1 # here", 1).replace(
            "  kind: Role\n  name: clerk", "  kind: Role\n  name: cook"
        ),
        "RoleBinding team-a/clerk refers to Role 'cook', which no manifest defines in team-a; "
        "defined there: clerk",
    ),
    "binding-to-a-role-of-another-namespace": Mistake(
        MANIFEST,
        ROLE_BINDING,
        ROLE_BINDING.replace("/v1", "/v1 # here", 1).replace("team-a", "default"),
        "refers to Role 'clerk', which no manifest defines in default; defined there: none",
    ),
    "cluster-role-binding-to-a-role": Mistake(
        MANIFEST,
        ROLE_BINDING,
        ROLE_BINDING.replace("/v1", "/v1 # here", 1)
        .replace("kind: RoleBinding", "kind: ClusterRoleBinding")
        .replace("  namespace: team-a\n", ""),
        "a ClusterRoleBinding cannot refer to a Role",
    ),
    "binding-subject-of-an-unknown-kind": Mistake(
        MANIFEST,
        "  - kind: ServiceAccount",
        "  - kind: serviceaccount # here",
        "'serviceaccount' is not one of ServiceAccount, User, Group",
    ),
    "two-objects-with-one-identity": Mistake(
        MANIFEST,
        "---\napiVersion: v1\nkind: ServiceAccount",
        "---\napiVersion: v1 # here\nkind: Namespace\nmetadata: {name: team-a}\n"
        "---\napiVersion: v1\nkind: ServiceAccount",
        "Namespace team-a is defined a second time; first in ",
    ),
    "manifest-in-a-namespace-that-nothing-creates": Mistake(
        MANIFEST,
        "kind: Namespace\nmetadata:\n  name: team-a\n---\napiVersion: v1\n",
        "kind: Namespace\nmetadata:\n  name: team-b\n---\napiVersion: v1 # here\n",
        "ServiceAccount team-a/clerk: nothing creates the namespace 'team-a'; there are bystander,",
    ),
    "list-as-kubectl-prints-it": Mistake(
        MANIFEST,
        "",
        "apiVersion: v1\nitems: []\nkind: List # here\nmetadata:\n  resourceVersion: ''\n",
        "write each item of a List as a document of its own",
    ),
    "list-without-metadata": Mistake(
        MANIFEST,
        "",
        "apiVersion: v1\nkind: RoleBindingList # here\nitems: []\n",
        "write each item of a List as a document of its own",
    ),
    "not-an-object": Mistake(
        MANIFEST, "kind: Namespace\n", "", "the document: 'kind' is a required property"
    ),
}


class Shop:
    """The good files in a folder, to be edited and read."""

    def __init__(self, folder: Path, discovery: Discovery) -> None:
        """Write them."""
        self.folder = folder
        self._discovery = discovery
        (folder / "shop").mkdir()
        self.write(EXPECTED, EXPECTATIONS)
        self.write(MANIFEST, MANIFESTS)

    def write(self, file: str, text: str) -> None:
        """Write one file anew."""
        (self.folder / file).write_text(text, encoding="utf-8")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the first `old`, which must be there."""
        text = (self.folder / file).read_text(encoding="utf-8")
        assert old in text
        self.write(file, text.replace(old, new, 1))

    def load(self) -> Scenario:
        """Read it."""
        return load_scenario(self.folder / EXPECTED, self._discovery, {})

    def error(self) -> InputError:
        """The error that reading it gives."""
        with pytest.raises(InputError) as caught:
            self.load()
        return caught.value


CLERK: Final = Subject("team-a", "clerk")


def resource_questions(scenario: Scenario) -> list[ResourceQuestion]:
    """What the scenario's declared cells ask about resources."""
    asked = [cell.question for cell in scenario.expectations]
    return [question for question in asked if isinstance(question, ResourceQuestion)]


@pytest.fixture
def shop(tmp_path: Path, discovery: Discovery) -> Shop:
    """A scenario with nothing wrong, as files."""
    return Shop(tmp_path, discovery)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_error_at_its_line(mistake: Mistake, shop: Shop) -> None:
    """Whatever would make a test ask something else is refused, with file, line and a sentence."""
    if mistake.old:
        shop.edit(mistake.file, mistake.old, mistake.new)
    else:
        shop.write(mistake.file, mistake.new)

    error = shop.error()

    lines = (shop.folder / mistake.file).read_text(encoding="utf-8").splitlines()
    marked = [number for number, line in enumerate(lines, 1) if line.endswith("# here")]
    assert mistake.says in str(error)
    assert Position(shop.folder / mistake.file, *(marked or [1])) == error.at
    assert str(error).startswith(f"{error.at}: ")


def test_bytes_that_are_no_text_are_one_error(shop: Shop) -> None:
    """A file in another encoding than UTF-8 is refused by name."""
    (shop.folder / EXPECTED).write_bytes("title: Café".encode("latin-1"))

    error = shop.error()

    assert "cannot be read: 'utf-8' codec" in str(error)
    assert Position(shop.folder / EXPECTED, 1) == error.at


def test_a_missing_file_is_one_error(shop: Shop) -> None:
    """A file that is not there is refused by name."""
    (shop.folder / EXPECTED).unlink()

    assert "cannot be read" in str(shop.error())


def test_every_verb_of_every_resource_in_every_scope_is_a_cell(shop: Shop) -> None:
    """The cells are the whole product of what can be asked, not only what is declared."""
    scenario = shop.load()

    asked: dict[tuple[str, str | None], set[str]] = {}
    for question in resource_questions(scenario):
        key = (str(question.resource), question.namespace)
        asked.setdefault(key, set()).add(question.verb)
    named, unnamed = {"get", "update", "patch", "delete"}, set(VERBS)
    assert asked == {
        **{("pods", scope): unnamed for scope in ("team-a", "bystander", None)},
        **{("jobs.batch", scope): unnamed for scope in ("team-a", "bystander", None)},
        **{("pods/log", scope): named | {"create"} for scope in ("team-a", "bystander", None)},
        ("nodes", None): unnamed,
        ("namespaces", "team-a"): named,
        ("namespaces", "bystander"): named,
        ("namespaces", None): unnamed - named,
    }


def test_what_no_line_allows_is_denied(shop: Shop) -> None:
    """Default deny: only declared allowances have a status, and the reason says so."""
    scenario = shop.load()

    allowed = {
        str(cell.question): expectation.status
        for cell, expectation in scenario.expectations.items()
        if expectation.status is not None
    }
    assert allowed == {"get pods in team-a": 200, "list pods in team-a": 200}
    defaults = [each for each in scenario.expectations.values() if "default deny" in each.why]
    assert len(defaults) == len(scenario.expectations) - len(allowed) - 1
    assert {each.at.line for each in defaults} == {9}


def test_paths_are_cells_of_the_subject_that_declares_them(shop: Shop) -> None:
    """Beside the product of `ask`, at cluster scope, allowed with their status or denied."""
    before = list(shop.load().expectations)
    shop.edit(
        EXPECTED,
        "    deny:\n",
        "      - {verbs: {get: 404}, paths: [/metrics, /debug/x], why: Granted.}\n    deny:\n"
        "      - {verbs: [get], paths: [/logs/], why: Not granted.}\n",
    )

    expectations = shop.load().expectations

    added = {
        cell.id: (each.status, each.why)
        for cell, each in expectations.items()
        if isinstance(cell.question, PathQuestion)
    }
    assert added == {
        "shop:clerk:-:get:/metrics": (404, "Granted."),
        "shop:clerk:-:get:/debug/x": (404, "Granted."),
        "shop:clerk:-:get:/logs/": (None, "Not granted."),
    }
    assert [cell for cell in expectations if cell.id not in added] == before


NAMING: Final = (
    "verbs",
    "specializedVerbs",
    "resources",
    "namespaces",
    "cluster",
    "names",
    "select",
    "paths",
)
VALUES: Final = {
    "specializedVerbs": ["use"],
    "resources": ["pods"],
    "namespaces": ["team-a"],
    "cluster": True,
    "names": ["web"],
    "select": "app=web",
    "paths": ["/metrics"],
}


def means_something(keys: frozenset[str]) -> bool:
    """Whether a line with these keys has one meaning: resources in some scope, or paths."""
    if keys == {"verbs", "paths"}:
        return True
    one_kind_of_verbs = ("verbs" in keys) != ("specializedVerbs" in keys)
    somewhere = "resources" in keys and bool(keys & {"namespaces", "cluster"})
    selects = {"specializedVerbs", "select"} <= keys
    return one_kind_of_verbs and somewhere and not selects and "paths" not in keys


COMBINATIONS: Final = [
    (kind, frozenset(keys))
    for kind in ("allow", "deny")
    for count in range(len(NAMING) + 1)
    for keys in itertools.combinations(NAMING, count)
    if kind == "allow" or "select" not in keys  # A denial has no such key.
]


@pytest.mark.parametrize(
    ("kind", "keys"),
    COMBINATIONS,
    ids=["-".join([kind, *sorted(keys)]) for kind, keys in COMBINATIONS],
)
def test_a_line_is_about_resources_or_about_paths(
    shop: Shop, kind: str, keys: frozenset[str]
) -> None:
    """Of every combination of keys, what has no meaning is refused at its line."""
    values = VALUES | {"verbs": {"get": 404} if kind == "allow" else ["get"]}
    line = {key: values[key] for key in NAMING if key in keys} | {"why": "So."}
    declared = json.dumps(line)
    text = EXPECTATIONS.partition("    allow:\n")[0]
    shop.write(EXPECTED, f"{text}    {kind}:\n      - {declared}\n")

    if means_something(keys):
        assert {each.why for each in shop.load().expectations.values()} > {"So."}
    else:
        error = shop.error()
        assert "or `verbs` with paths alone" in str(error)
        assert Position(shop.folder / EXPECTED, 12) == error.at


def test_the_rest_is_asked_once_a_subject_and_scope(shop: Shop) -> None:
    """Also where no cell is declared: the bystander, kube-system and the cluster scope."""
    shop.edit(EXPECTED, "[team-a, bystander]", "[team-a]")
    shop.edit(EXPECTED, "  cluster: true\n", "")
    shop.edit(EXPECTED, ", nodes", "")
    shop.edit(
        EXPECTED,
        "subjects:\n",
        "subjects:\n  - serviceAccount: default\n    namespace: team-a\n",
    )

    scenario = shop.load()

    assert scenario.closed_namespaces == ("team-a", "bystander", "kube-system")
    assert [rest.id for rest in scenario.rests] == [
        f"shop:{subject}:{scope}:everything-else"
        for subject in ("default", "clerk")
        for scope in ("team-a", "bystander", "kube-system", "-")
    ]
    assert len(set(scenario.rests)) == 8
    assert set(scenario.defaults) == set(scenario.subjects)
    assert {each.status for each in scenario.defaults.values()} == {None}


def test_a_namespace_that_is_asked_anyway_is_no_second_rest(shop: Shop) -> None:
    """A scenario that asks in the bystander or in kube-system itself has them once."""
    shop.edit(EXPECTED, "[team-a, bystander]", "[kube-system, bystander, team-a]")

    assert shop.load().closed_namespaces == ("kube-system", "bystander", "team-a")


def test_a_line_covers_each_combination_once(shop: Shop) -> None:
    """A line of two verbs, two resources and two scopes is eight cells of its own."""
    shop.edit(
        EXPECTED,
        f"{DENY}\n        namespaces: [team-a]",
        "- verbs: [update, patch]\n        resources: [pods, jobs.batch]\n"
        "        namespaces: ['*']",
    )

    scenario = shop.load()

    denied = [cell for cell, each in scenario.expectations.items() if each.at.line == 17]
    assert len(denied) == len({cell.id for cell in denied}) == 8


def test_names_are_cells_beside_the_unnamed_one(shop: Shop) -> None:
    """A line for one object's name says nothing about any other object."""
    shop.edit(EXPECTED, ALLOW, ALLOW.replace(", list: 200", "") + "        names: [web]\n")

    scenario = shop.load()

    gets = {
        question.name: scenario.expectations[Cell("shop", CLERK, question)].status
        for question in resource_questions(scenario)
        if str(question).startswith("get pods ") and question.namespace == "team-a"
    }
    assert gets == {"": None, "web": 200}


def test_a_list_may_name_an_object(shop: Shop) -> None:
    """Every verb whose request can carry the name is asked about it; what creates cannot."""
    shop.edit(EXPECTED, DENY, f"{DENY}\n        names: [web]")

    named = {question.verb for question in resource_questions(shop.load()) if question.name}

    assert named == {"get", "list", "watch", "update", "patch", "delete"}


def test_what_is_allowed_of_any_object_is_not_asked_of_one(shop: Shop) -> None:
    """Nothing could deny it, so only a line of its own makes it a cell."""
    shop.edit(EXPECTED, DENY, f"{DENY}\n        names: [web]")
    questions = [question for question in resource_questions(shop.load()) if question.name]

    in_team_a = {question.verb for question in questions if question.namespace == "team-a"}
    elsewhere = {question.verb for question in questions if question.namespace == "bystander"}
    assert in_team_a == {"watch", "update", "patch", "delete"}
    assert elsewhere == in_team_a | {"get", "list"}


def test_an_allowance_of_any_object_covers_each(shop: Shop) -> None:
    """What the closed world need not ask: declared cells, and those that one of them implies."""
    scenario = shop.load()

    def covers(verb: str, name: str = "", namespace: str | None = "team-a") -> bool:
        question = ResourceQuestion(verb, ResourceName.parse("pods"), namespace, name)
        return scenario.covers(Cell("shop", CLERK, question))

    assert covers("get", "web")
    assert covers("list", "web")
    assert covers("watch")  # declared, though as a denial
    assert not covers("watch", "web")
    assert not covers("get", "web", "bystander")
    assert not covers("get", "web", None)
    assert not covers("escalate", "web")
    assert not scenario.covers(Cell("shop", CLERK, PathQuestion("get", "/metrics")))


ELSEWHERE: Final = {
    "allowed-in-one": ("team-a, bystander, kube-system", "team-a", False),
    "allowed-in-all-that-are-declared": ("team-a, bystander", '"*"', False),
    "allowed-in-all": ("team-a, bystander, kube-system", '"*"', True),
}


@pytest.mark.parametrize(("asked", "allowed", "covered"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_namespace_elsewhere_is_covered_where_it_is_allowed_in_all_scopes(
    shop: Shop,
    asked: str,
    allowed: str,
    covered: bool,  # noqa: FBT001 - a case
) -> None:
    """A ClusterRoleBinding is what reaches it, and that shows in every namespace of the world."""
    line = "- verbs: {{get: 200}}\n        resources: [namespaces]\n        namespaces: [{}]\n"
    shop.edit(EXPECTED, "namespaces: [team-a, bystander]", f"namespaces: [{asked}]")
    shop.edit(EXPECTED, ALLOW, f"{line.format(allowed)}        why: Granted.\n      {ALLOW}")
    question = ResourceQuestion("get", ResourceName.parse("namespaces"), None, "prod")

    assert shop.load().covers(Cell("shop", CLERK, question)) is covered


def test_left_out_files_are_not_applied(shop: Shop) -> None:
    """`without` takes a file's objects away, so that a scenario can be asked before its binding."""
    shop.write("shop/binding.yaml", ROLE_BINDING)
    shop.write(MANIFEST, MANIFESTS.partition(f"---\n{ROLE_BINDING}")[0])
    shop.edit(EXPECTED, "manifests: shop", "manifests: shop\nwithout: [binding.yaml]")

    scenario = shop.load()

    assert [found.kind for found in scenario.objects] == ["Namespace", "ServiceAccount", "Role"]


def test_own_definitions_are_resources(shop: Shop) -> None:
    """A scenario may ask about what its own CustomResourceDefinition will serve."""
    shop.write(
        "shop/definition.yaml",
        """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.example.com
spec:
  group: example.com
  names: {plural: widgets, singular: widget, kind: Widget}
  scope: Namespaced
  versions:
    - {name: v1alpha1, served: false, storage: false}
    - {name: v1, served: true, storage: true, subresources: {status: {}}}
""",
    )
    shop.edit(EXPECTED, "jobs.batch", "widgets.example.com, widgets.example.com/status")

    scenario = shop.load()

    assert ResourceName("example.com", "widgets", "status") in scenario.resources


def test_own_samples_win_over_the_built_in_ones(tmp_path: Path, discovery: Discovery) -> None:
    """A scenario's folder of samples adds to, and replaces, those that the suite brings."""
    shop = Shop(tmp_path, discovery)
    (tmp_path / "samples").mkdir()
    shop.write("samples/pods.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: ours}\n")
    shop.edit(EXPECTED, "manifests: shop", "manifests: shop\nsamples: samples")
    pods, jobs = ResourceName("", "pods"), ResourceName("batch", "jobs")

    scenario = load_scenario(tmp_path / EXPECTED, discovery, {pods: {}, jobs: {"kind": "Job"}})

    assert scenario.samples[pods]["metadata"] == {"name": "ours"}
    assert scenario.samples[jobs] == {"kind": "Job"}


SPECIALIZED: Final = """\
      - specializedVerbs: [use, impersonate]
        resources: [serviceaccounts, gadgets.example.com]
        namespaces: [team-a]
        cluster: true
        names: [web]
        why: So.
"""


def test_a_specialized_verb_is_declared_beside_the_grid(shop: Shop) -> None:
    """Each is a cell of its own: nobody requests it, so no status and no served resource."""
    before = resource_questions(shop.load())
    shop.edit(EXPECTED, "    allow:\n", f"    allow:\n{SPECIALIZED}")

    expectations = shop.load().expectations

    added = {
        f"{cell.question} {expectation.why}": expectation.status
        for cell, expectation in expectations.items()
        if cell.question not in before
    }
    assert added == {
        f'{verb} {resource} "web" {where} So.': 200
        for verb in ("use", "impersonate")
        for resource in ("serviceaccounts", "gadgets.example.com")
        for where in ("in team-a", "at cluster scope")
    }
