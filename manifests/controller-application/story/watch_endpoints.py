"""Prints a line of JSON for each change of a Service's addresses: `watch_endpoints.py SERVICE`.

Each line has all that are ready then, with the pod behind each address and its port.
"""

import json
import sys
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch
from urllib3.exceptions import ReadTimeoutError

SECONDS = 60  # without a change, until the watch is made anew


def show(kind: str, objects: list[Any]) -> None:
    """Print who is ready."""
    subsets = [subset for each in objects for subset in each.subsets or []]
    ready = {
        f"{address.ip}:{port.port}": address.target_ref.name
        for subset in subsets
        for address in subset.addresses or []
        for port in subset.ports
    }
    print(json.dumps({"type": kind, "ready": ready}))


config.load_incluster_config()
v1 = client.CoreV1Api()
namespace = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text("ascii")
(service,) = sys.argv[1:]
chosen = f"metadata.name={service}"
listed = v1.list_namespaced_endpoints(namespace, field_selector=chosen)
show("LISTED", listed.items)
seen = watch.Watch()
seen.resource_version = listed.metadata.resource_version
while True:
    try:
        for event in seen.stream(
            v1.list_namespaced_endpoints,
            namespace,
            field_selector=chosen,
            resource_version=seen.resource_version,
            _request_timeout=SECONDS,
        ):
            show(event["type"], [event["object"]])
    except ReadTimeoutError:
        continue
