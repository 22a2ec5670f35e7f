"""Writes the logs of the pods that a label selects, of all namespaces, to a folder.

    export_logs.py SELECTOR FOLDER

A file a container: NAMESPACE/POD/CONTAINER.log. A log that is refused ends it, with what the server
said.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from kubernetes import client, config

PAGE = 500  # pods in one answer


def selected_pods(core: client.CoreV1Api, selector: str) -> Iterator[client.V1Pod]:
    """The pods, page by page."""
    more = None
    while True:
        page = core.list_pod_for_all_namespaces(label_selector=selector, limit=PAGE, _continue=more)
        yield from page.items
        more = page.metadata._continue  # noqa: SLF001 - a public field, named so because Python keeps the word
        if not more:
            return


def main(selector: str, folder: Path) -> None:
    """Export once."""
    config.load_incluster_config()
    core = client.CoreV1Api()
    for pod in selected_pods(core, selector):
        namespace, name = pod.metadata.namespace, pod.metadata.name
        for container in pod.status.container_statuses or ():
            file = folder / namespace / name / f"{container.name}.log"
            if not container.container_id:
                print(f"{file.relative_to(folder)}: has not started")
                continue
            log = core.read_namespaced_pod_log(name, namespace, container=container.name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(log, encoding="utf-8")
            print(f"{file.relative_to(folder)}: {file.stat().st_size} bytes")


main(sys.argv[1], Path(sys.argv[2]))
