"""Starts Job `pi`, looks after it until it is done, and deletes it; each step is a line of its log.

All of it within Role `job-robot`. A request that is refused ends the robot, with what the server
said.
"""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch

NAMESPACE = "default"
NAME = "pi"
IMAGE = "rbac-matrix/story"
DEADLINE = 60  # seconds for the Job to complete, and again for it to be gone
LABELS = {"app": NAME, "app.kubernetes.io/managed-by": "rbac-matrix"}
DONE = Path("/state/done")


def job_object() -> client.V1Job:
    """The Job: a pod that computes, restricted as far as a pod can be, and without a token."""
    container = client.V1Container(
        name=NAME,
        image=IMAGE,
        image_pull_policy="Never",
        command=["python3", "/story/digits_of_pi.py"],
        volume_mounts=[client.V1VolumeMount(name="programs", mount_path="/story")],
        security_context=client.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=client.V1Capabilities(drop=["ALL"]),
        ),
    )
    programs = client.V1ConfigMapVolumeSource(name="job-robot-story")
    pod = client.V1PodSpec(
        restart_policy="Never",
        automount_service_account_token=False,
        security_context=client.V1PodSecurityContext(
            run_as_non_root=True, seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault")
        ),
        containers=[container],
        volumes=[client.V1Volume(name="programs", config_map=programs)],
    )
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=LABELS), spec=pod)
    return client.V1Job(
        api_version="batch/v1",
        kind="Job",
        metadata=client.V1ObjectMeta(name=NAME, labels=LABELS),
        spec=client.V1JobSpec(template=template, backoff_limit=4),
    )


def say(step: str, what: object) -> None:
    """One line of the log."""
    print(f"{step}: {what}")


def watch_job(
    jobs: client.BatchV1Api, version: str, reached: Callable[[str, client.V1Job], bool]
) -> client.V1Job:
    """Watch the Job from one of its versions on, until an event is what is waited for."""
    events = watch.Watch()
    for event in events.stream(
        jobs.list_namespaced_job,
        NAMESPACE,
        field_selector=f"metadata.name={NAME}",
        resource_version=version,
        timeout_seconds=DEADLINE,
    ):
        if reached(event["type"], event["object"]):
            events.stop()
            return event["object"]
    raise SystemExit(f"Job {NAME}: what was waited for did not come within {DEADLINE} s")


def is_complete(_event: str, job: client.V1Job) -> bool:
    """Whether the Job has done its work."""
    conditions = {each.type for each in job.status.conditions or () if each.status == "True"}
    if "Failed" in conditions:
        raise SystemExit(f"Job {NAME} has failed: {job.status}")
    return "Complete" in conditions


def is_deleted(event: str, _job: client.V1Job) -> bool:
    """Whether the Job is gone."""
    return event == "DELETED"


def patch_image(jobs: client.BatchV1Api, job: client.V1Job, image: str) -> str:
    """Send the Job again with an image, and say what came of it."""
    job.spec.template.spec.containers[0].image = image
    try:
        patched = jobs.patch_namespaced_job(NAME, NAMESPACE, job)
    except client.exceptions.UnprocessableEntityException as error:
        causes: list[dict[str, Any]] = json.loads(error.body)["details"]["causes"]
        # The causes quote the whole template before they come to the point.
        reasons = [f"{each['field']} {each['message'].rpartition(': ')[2]}" for each in causes]
        return f"{error.status} {', '.join(reasons)}"
    return f"generation {patched.metadata.generation}"


def main() -> None:
    """Do everything once."""
    config.load_incluster_config()
    jobs, core = client.BatchV1Api(), client.CoreV1Api()

    job = jobs.create_namespaced_job(NAMESPACE, job_object())
    say("created", job.metadata.name)

    names = [each.metadata.name for each in jobs.list_namespaced_job(NAMESPACE).items]
    say("listed", " ".join(names))

    say("patched with the same image", patch_image(jobs, job_object(), IMAGE))
    say("patched with another image", patch_image(jobs, job_object(), "rbac-matrix/another"))

    job = watch_job(jobs, job.metadata.resource_version, is_complete)
    say("completed", f"{job.status.succeeded} succeeded")

    selector = f"batch.kubernetes.io/job-name={NAME}"
    for pod in core.list_namespaced_pod(NAMESPACE, label_selector=selector).items:
        # Its log is not ours to read, but what it left at its end is in its status.
        say("computed", pod.status.container_statuses[0].state.terminated.message)

    options = client.V1DeleteOptions(propagation_policy="Foreground", grace_period_seconds=5)
    jobs.delete_namespaced_job(NAME, NAMESPACE, body=options)
    watch_job(jobs, job.metadata.resource_version, is_deleted)
    left = core.list_namespaced_pod(NAMESPACE, label_selector=selector).items
    say("deleted", f"{len(left)} pods are left")


main()
# A Deployment starts what ends anew, so the robot rests until it is ended.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
DONE.touch()
signal.sigwait({signal.SIGTERM})
