"""Lists the nodes as the ServiceAccount of the pod that this runs in, and prints them as JSON."""

import json
import sys

from kubernetes import client, config

config.load_incluster_config()
try:
    nodes = client.CoreV1Api().list_node()
except client.ApiException as error:
    sys.exit(f"{error.status}: {json.loads(error.body)['message']}")
print(json.dumps([node.metadata.name for node in nodes.items]))
