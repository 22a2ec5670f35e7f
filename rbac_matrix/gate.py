"""Asks scenarios on a running cluster: apply, settle, ask, judge, remove.

One scenario's objects are on the cluster at a time, so no scenario's grant can answer another's
question. Namespaces, ServiceAccounts and probes are there from the start: they grant nothing.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from rbac_matrix.aggregation import concerns_aggregation, wait_for_aggregation
from rbac_matrix.answer import AnswerClass
from rbac_matrix.baseline import load_baseline
from rbac_matrix.cases import Cases
from rbac_matrix.cell import Cell, ResourceName, Rest, Subject
from rbac_matrix.deadline import poll
from rbac_matrix.disagreements import load_disagreements
from rbac_matrix.discovery import ResourceNotServedError, parse_definitions
from rbac_matrix.errors import InputError, RbacMatrixError
from rbac_matrix.failures.trouble import Trouble, nobody_looks, trouble_of
from rbac_matrix.judges.request import RequestJudge
from rbac_matrix.judges.review import ReviewJudge
from rbac_matrix.judges.written_policy import PolicyJudge
from rbac_matrix.judging import answers_to_come, decide
from rbac_matrix.objects import Objects
from rbac_matrix.probe.reviewer import REVIEWER, reviewer_objects
from rbac_matrix.probe.start import admin_probe, subject_probes
from rbac_matrix.progress import Stage, Unwatched
from rbac_matrix.requests import Request
from rbac_matrix.scenario import BYSTANDER, STOCK_SERVICE_ACCOUNT
from rbac_matrix.settle import settle
from rbac_matrix.verdict import Verdict, not_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from rbac_matrix.admin import Admin
    from rbac_matrix.cases import Case
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.failures.trouble import WentWrong
    from rbac_matrix.manifests import ManifestObject
    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.progress import Progress
    from rbac_matrix.scenario import Scenario

ASK_DEADLINE: Final = 120.0  # seconds for one subject's cells of one scenario
EXISTS_DEADLINE: Final = 30.0  # seconds until the control plane has made what it makes itself
WHO_AM_I: Final = Request(
    "POST",
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    '{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}',
    reads_body=True,
)
_SHARED_KINDS: Final = ("Namespace", "ServiceAccount")


class IdentityError(RbacMatrixError):
    """A probe asks as somebody else than its subject."""


class Gate:
    """The verdicts of some cells of some scenarios on one cluster; asked when first wanted.

    Attributes:
        objects: What is created on the cluster.
        cases: Makes cells into what is asked.
        review: The review judge; there once the gate is entered.
        request: The request judge; likewise.
        stock: The roles and bindings that the cluster has without the scenarios; likewise.
        verdicts: What came of each cell that was asked.
        rests: The verdicts of each subject and scope beyond the declared cells.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run
        self,
        cluster: Cluster,
        admin: Admin,
        scenarios: Mapping[Scenario, Sequence[Cell | Rest]],
        say: Callable[[str], None],
        progress: Progress | None = None,
        *,
        went_wrong: WentWrong = nobody_looks,
    ) -> None:
        """Check the scenarios against the cluster; nothing is applied yet.

        Args:
            cluster: A running cluster.
            admin: Its admin.
            scenarios: Each scenario with what is wanted of it: declared cells, and what else a
                subject can be asked in a scope.
            say: Takes one line of progress.
            progress: Is told how far each scenario is; None for nobody.
            went_wrong: Is told of what fails, while everything of it is still on the cluster.

        Raises:
            InputError: A scenario speaks of a resource or a ClusterRole that the cluster does not
                have, or two of them write a shared object differently.
        """
        self._cluster = cluster
        self._admin = admin
        self._say = say
        self._progress = progress or Unwatched()
        self._went_wrong = went_wrong
        self._probes: dict[str, ProbeSession] = {}
        self._wanted = dict(scenarios)
        self.objects = Objects(admin, admin.discovery())
        baseline = load_baseline(admin.version())
        self._disagreements = load_disagreements(admin.version())
        self.cases = Cases(self.objects, baseline, runs_pods=cluster.runs_pods)
        self._stack = ExitStack()
        self._shared = _shared_objects(scenarios)
        self.verdicts: dict[Cell, Verdict] = {}
        self.rests: dict[Rest, list[Verdict]] = {}
        for scenario in scenarios:
            self._check(scenario)

    def __enter__(self) -> Self:
        """Prepare what all scenarios need: namespaces, ServiceAccounts, probes, identities."""
        try:
            self._prepare()
        except RbacMatrixError as error:
            self._went_wrong(Trouble("preparing", (str(error),)), self.objects)
            self.__exit__(None, None, None)
            self._cluster.check()
            raise
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the probes and remove what this run created, unless the cluster goes with it."""
        self._stack.close()
        if not self._cluster.disposable:
            self._say("removing what this run created")
            self.objects.remove_since(0)

    def ask(self, scenario: Scenario) -> None:
        """Ask the wanted cells of a scenario, once; the verdicts are in `verdicts` afterwards.

        Raises:
            RbacMatrixError: Its objects could not be applied, settled or removed.
        """
        wanted = self._wanted.pop(scenario, ())
        if not wanted:
            return
        self._cluster.check()
        began = time.monotonic()
        try:
            with self._progress.during(Stage.APPLY, scenario.name):
                asked = self._apply_and_ask(scenario, wanted)
        except RbacMatrixError:
            self._cluster.check()  # A dead part says more than what it led to.
            raise
        seconds = time.monotonic() - began
        self._say(f"{scenario.name}: {asked} cells asked in {seconds:.1f} s")

    def _apply_and_ask(self, scenario: Scenario, wanted: Sequence[Cell | Rest]) -> int:
        """Ask while the scenario's objects are there; how many cells were asked."""
        mark = self.objects.mark()
        try:
            for found in scenario.objects:
                if found.kind not in _SHARED_KINDS:
                    self.objects.create(found.body, str(found.at))
            self._serve_definitions(scenario, wanted=True)
            cells = [cell for cell in wanted if isinstance(cell, Cell)]
            rests = [rest for rest in wanted if isinstance(rest, Rest)]
            cases = self.cases.declared(scenario, cells)
            if rests:
                cases += self.cases.rest(scenario, rests, self.stock)
            self.rests |= {rest: [] for rest in rests}
            self._progress.begin(Stage.SETTLE)
            self._settle(scenario)
            self._judge(scenario, cases)
            self._look_at(scenario, cases)
        except RbacMatrixError as error:
            self._progress.begin(Stage.LOOK)
            trouble = Trouble(scenario.name, (str(error),), probes=self._said_by_probes())
            self._went_wrong(trouble, self.objects)
            raise
        finally:
            self._progress.begin(Stage.REMOVE)
            self.objects.remove_since(mark)
        self._serve_definitions(scenario, wanted=False)
        self._progress.begin(Stage.SETTLE)
        self._settle(scenario)
        return sum(1 for case in cases if not case.not_asked)

    def _judge(self, scenario: Scenario, cases: Sequence[Case]) -> None:
        """Have the judges decide, and keep each verdict where its item looks for it."""
        asked = [case for case in cases if not case.not_asked]
        policy = PolicyJudge(scenario.objects, self.stock)
        self._progress.begin(Stage.ASK)
        self._progress.expect(answers_to_come(asked, self.request))
        for verdict in decide(asked, policy, self.review, self.request, self._disagreements):
            self._progress.begin(Stage.JUDGE)  # All are asked before the first verdict comes.
            cell = verdict.cell
            self.verdicts[cell] = verdict
            if cell not in scenario.expectations:
                self.rests[Rest(cell.scenario, cell.subject, cell.question.scope)].append(verdict)
        for case in cases:
            if case.not_asked:
                verdict = not_asked(case.cell, case.expectation, case.not_asked)
                self.verdicts[case.cell] = verdict

    def _look_at(self, scenario: Scenario, cases: Sequence[Case]) -> None:
        """Tell of what is wrong with a scenario's verdicts, if anything is."""
        verdicts = (self.verdicts[case.cell] for case in cases)
        if trouble := trouble_of(scenario.name, verdicts, self._said_by_probes()):
            self._progress.begin(Stage.LOOK)
            self._went_wrong(trouble, self.objects)

    def _said_by_probes(self) -> dict[str, tuple[str, ...]]:
        return {who: probe.errors for who, probe in self._probes.items()}

    def _serve_definitions(self, scenario: Scenario, *, wanted: bool) -> None:
        """Wait until what the scenario's own definitions add is served, or is gone again."""
        defined = parse_definitions(found.body for found in scenario.objects)
        if not defined:
            return

        def missing() -> str:
            self.objects.discovery = self._admin.discovery()
            served = self.objects.discovery.served
            return ", ".join(str(one.name) for one in defined if (one.name in served) is not wanted)

        state = "served" if wanted else "gone"
        poll(f"waiting for the scenario's definitions to be {state}", missing, EXISTS_DEADLINE)

    def _settle(self, scenario: Scenario) -> None:
        """Wait until what was applied, or removed, of a scenario is in force."""
        if concerns_aggregation(scenario.objects):
            wait_for_aggregation(self._admin)
        settle(self._admin, self.objects)

    def _check(self, scenario: Scenario) -> None:
        """Compare what the scenario speaks of with what the cluster has."""
        kinds = {found.kind for found in scenario.objects}
        for name, at in scenario.resources.items():
            try:
                self.objects.discovery.find(name)
            except ResourceNotServedError as error:
                if "CustomResourceDefinition" not in kinds:
                    raise InputError(at, f"on this cluster {error}") from None
        defined = {found.name for found in scenario.objects if found.kind == "ClusterRole"}
        cluster_roles = self.objects.discovery.find(
            ResourceName("rbac.authorization.k8s.io", "clusterroles")
        )
        for binding in scenario.objects:
            reference = binding.body.get("roleRef", {})
            if reference.get("kind") != "ClusterRole" or reference["name"] in defined:
                continue
            if self.objects.get(cluster_roles, None, reference["name"]) is None:
                raise InputError(
                    binding.at,
                    f"{binding} refers to ClusterRole {reference['name']!r}, which neither a "
                    "manifest nor the cluster defines",
                )

    def _prepare(self) -> None:
        if leftovers := self.objects.remove_leftovers():
            self._say(f"removed {len(leftovers)} objects that an earlier run left behind")
        self.stock = self._admin.policy_objects()
        self.objects.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BYSTANDER}},
            "the bystander namespace",
        )
        for body in reviewer_objects():
            self.objects.create(body, "the reviewer")
        for found in self._shared:
            self.objects.create(found.body, str(found.at))
        subjects = sorted({each.subject for wanted in self._wanted.values() for each in wanted})
        self._wait_for_service_accounts(subjects)
        probes = self._stack.enter_context(
            subject_probes(self._cluster, self._admin, self.objects, [*subjects, REVIEWER])
        )
        control = self._stack.enter_context(admin_probe(self._cluster.admin))
        self._probes = {str(subject): probe for subject, probe in probes.items()}
        self._probes["the admin"] = control
        self.review = ReviewJudge(probes[REVIEWER], ASK_DEADLINE)
        self.request = RequestJudge(probes, control, ASK_DEADLINE)
        for subject, probe in probes.items():
            _confirm_identity(subject, probe)
        for probe in (*probes.values(), control):
            probe.answered = self._progress.answered
        self._say(f"{len(subjects)} probes ask as who they should be")

    def _wait_for_service_accounts(self, subjects: Sequence[Subject]) -> None:
        """The control plane makes a namespace's `default` ServiceAccount a moment later."""
        served = self.objects.discovery.find(ResourceName("", "serviceaccounts"))
        namespaces = {subject.namespace for subject in subjects}
        namespaces |= {place for scenario in self._wanted for place in scenario.namespaces}

        def missing() -> str:
            late = [
                namespace
                for namespace in sorted(namespaces)
                if self.objects.get(served, namespace, STOCK_SERVICE_ACCOUNT) is None
            ]
            return ", ".join(late)

        poll("waiting for the default ServiceAccounts", missing, EXISTS_DEADLINE)


def _shared_objects(scenarios: Iterable[Scenario]) -> list[ManifestObject]:
    """What grants nothing and is there for all scenarios: namespaces first.

    Raises:
        InputError: Two scenarios write one of them differently.
    """
    shared: dict[object, ManifestObject] = {}
    for scenario in scenarios:
        for found in scenario.objects:
            if found.kind in _SHARED_KINDS:
                first = shared.setdefault(found.identity, found)
                if first.body != found.body:
                    raise InputError(found.at, f"{found} differs from the one in {first.at}")
    return sorted(shared.values(), key=lambda found: _SHARED_KINDS.index(found.kind))


def _confirm_identity(subject: Subject, probe: ProbeSession) -> None:
    """Have the server say whom the probe asks as: a lost token would be refused everything."""
    answer = probe.ask([WHO_AM_I], ASK_DEADLINE)[0]
    if answer.answer_class is not AnswerClass.CREATED:
        raise IdentityError(
            f"the probe of {subject} could not ask who it is: {answer} {answer.message}"
        )
    user = json.loads(answer.body or "{}").get("status", {}).get("userInfo", {})
    if user.get("username") != subject.username or not set(subject.groups) <= set(
        user.get("groups", ())
    ):
        raise IdentityError(
            f"the probe of {subject} asks as {user.get('username')!r} in {user.get('groups')}"
        )
