"""Tells where the pods of a Service are, from the API server and without DNS, as one JSON object.

`discover.py endpoints blog` reads the Endpoints object of the Service's name, `discover.py
endpointslices blog` the EndpointSlices that took its place. Host and port come from what every
container has in its environment, the credentials from what every container has mounted.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

MOUNTED = Path(
    os.environ.get("SERVICE_ACCOUNT_FOLDER", "/run/secrets/kubernetes.io/serviceaccount")
)
SERVER_NAME = os.environ.get("SERVER_NAME", "kubernetes.default.svc")
SECONDS = 10.0


class ServerNameAdapter(HTTPAdapter):
    """Expects the certificate of one server name, whatever the address in the URL is."""

    def __init__(self, server_name: str) -> None:
        """Send this name to the server (SNI), and look for it in the certificate."""
        self._names = {"server_hostname": server_name, "assert_hostname": server_name}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's
        """Make every connection with it."""
        super().init_poolmanager(*args, **kwargs, **self._names)


def ask(path: str, query: dict[str, str]) -> requests.Response:
    """Send a GET request as the pod's ServiceAccount."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    token = (MOUNTED / "token").read_text(encoding="ascii").strip()
    with requests.Session() as session:
        session.trust_env = False  # no proxy, no other authority
        session.mount("https://", ServerNameAdapter(SERVER_NAME))
        session.headers["Authorization"] = f"Bearer {token}"
        session.verify = str(MOUNTED / "ca.crt")
        host = f"[{host}]" if ":" in host else host
        return session.get(f"https://{host}:{port}{path}", params=query, timeout=SECONDS)


def addresses_of_endpoints(endpoints: dict[str, Any]) -> list[str]:
    """The ready addresses; no pod is ready as long as there are no subsets."""
    subsets = endpoints.get("subsets") or []
    return [address["ip"] for subset in subsets for address in subset.get("addresses") or []]


def addresses_of_slices(slices: dict[str, Any]) -> list[str]:
    """The ready addresses of all slices; one may be in two while it moves from one to the other."""
    endpoints = [each for item in slices["items"] for each in item.get("endpoints") or []]
    # Absent means unknown, which is to be taken for ready.
    ready = [each for each in endpoints if each["conditions"].get("ready") is not False]
    return list(dict.fromkeys(address for each in ready for address in each["addresses"]))


def main() -> None:
    """Ask, and print what came."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=["endpoints", "endpointslices"])
    parser.add_argument("service")
    arguments = parser.parse_args()
    namespace = (MOUNTED / "namespace").read_text(encoding="ascii")
    if arguments.kind == "endpoints":
        path, query = f"/api/v1/namespaces/{namespace}/endpoints/{arguments.service}/", {}
    else:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        query = {"labelSelector": f"kubernetes.io/service-name={arguments.service}"}
    try:
        answer = ask(path, query)
    except requests.exceptions.SSLError as error:
        sys.exit(f"this is not {SERVER_NAME}: {error}")
    document = answer.json()
    told = {"status": answer.status_code, "warning": answer.headers.get("Warning", "")}
    if not answer.ok:
        told["message"] = document["message"]
    elif arguments.kind == "endpoints":
        told["addresses"] = addresses_of_endpoints(document)
    else:
        told["addresses"] = addresses_of_slices(document)
    print(json.dumps(told))


main()
