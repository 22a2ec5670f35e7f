"""Prints a line of JSON for each change of a pod of the own namespace: `watch_pods.py SELECTOR`.

It lists first and watches from there, so that nothing happens unseen in between.
"""

import json
import sys
from pathlib import Path

from kubernetes import client, config, watch
from urllib3.exceptions import ReadTimeoutError

SECONDS = 60  # without a change, until the watch is made anew

config.load_incluster_config()
v1 = client.CoreV1Api()
namespace = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text("ascii")
(selector,) = sys.argv[1:]
listed = v1.list_namespaced_pod(namespace, label_selector=selector)
print(json.dumps({"type": "LISTED", "pods": [pod.metadata.name for pod in listed.items]}))
seen = watch.Watch()
seen.resource_version = listed.metadata.resource_version
while True:
    try:
        for event in seen.stream(
            v1.list_namespaced_pod,
            namespace,
            label_selector=selector,
            resource_version=seen.resource_version,
            _request_timeout=SECONDS,
        ):
            pod = event["object"]
            print(
                json.dumps(
                    {
                        "type": event["type"],
                        "pod": pod.metadata.name,
                        "labels": pod.metadata.labels,
                        "phase": pod.status.phase,
                        "address": pod.status.pod_ip,
                    }
                )
            )
    except ReadTimeoutError:
        continue
