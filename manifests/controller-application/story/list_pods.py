"""Lists pods as the ServiceAccount of the pod that this runs in, and prints their names as JSON.

`list_pods.py SELECTOR...` lists those of the own namespace that each label selector selects, and
`list_pods.py` without any those of every namespace.
"""

import json
import sys
from pathlib import Path
from typing import Any

from kubernetes import client, config

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def names(pods: Any) -> list[str]:  # noqa: ANN401 - the client's class is imported slowly
    """The names in a list of pods."""
    return sorted(pod.metadata.name for pod in pods.items)


config.load_incluster_config()
v1 = client.CoreV1Api()
namespace = (MOUNTED / "namespace").read_text(encoding="ascii")
selectors = sys.argv[1:]
try:
    found = {
        selector: names(v1.list_namespaced_pod(namespace, label_selector=selector, watch=False))
        for selector in selectors
    }
    if not selectors:
        found = {"": names(v1.list_pod_for_all_namespaces(watch=False))}
except client.ApiException as error:
    sys.exit(f"{error.status}: {json.loads(error.body)['message']}")
print(json.dumps(found))
