"""A cluster that exists already, reached through a kubeconfig context that is named explicitly."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rbac_matrix.clusters.cluster import Cluster, ClusterError
from rbac_matrix.clusters.credentials import Credentials
from rbac_matrix.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def existing_cluster(context: str, probe_image: str) -> Iterator[Cluster]:
    """The cluster of a context of the user's own kubeconfig (`KUBECONFIG` or the default file).

    Args:
        context: The context's name.
        probe_image: An image that the cluster can pull.

    Raises:
        ClusterError: There is no such context, or no kubectl.
    """
    if not context:
        raise ClusterError("--cluster kubeconfig needs --kube-context NAME: no cluster by default")
    if not probe_image:
        raise ClusterError(
            "--cluster kubeconfig needs --probe-image IMAGE: build images/probe/Dockerfile and "
            "push it to where the nodes of the cluster pull from"
        )
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise ClusterError("--cluster kubeconfig needs kubectl on PATH, to exec into probe pods")
    with credentials_of(None, context) as credentials:
        yield Cluster(
            provider="kubeconfig",
            admin=credentials,
            kubectl=(kubectl, "--context", context),
            probe_image=probe_image,
            disposable=False,
            check=lambda: None,
        )


@contextmanager
def credentials_of(kubeconfig: Path | None, context: str | None) -> Iterator[Credentials]:
    """The credentials of a kubeconfig context, as files for as long as the `with` block lasts.

    Args:
        kubeconfig: The file; None for the user's own.
        context: The context; None for the current one.

    Raises:
        ClusterError: The file or the context is not there, or does not verify the server.
    """
    # Imported late: 0.5 s that collecting tests does not need.
    from kubernetes import client, config  # noqa: PLC0415 - see the line above

    configuration = client.Configuration()
    shown = context or "(current)"
    with temporary_folder("admin") as folder:
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call] # the client has no type for it
                config_file=str(kubeconfig) if kubeconfig else None,
                context=context,
                client_configuration=configuration,
                temp_file_path=str(folder),
            )
        except (config.ConfigException, OSError) as error:
            raise ClusterError(f"kubeconfig context {shown}: {error}") from error
        if not configuration.verify_ssl or not configuration.ssl_ca_cert:
            raise ClusterError(
                f"kubeconfig context {shown} does not verify the API server: it needs "
                "certificate-authority"
            )
        certificate = key = None
        if configuration.cert_file and configuration.key_file:
            certificate = _copied(configuration.cert_file, folder / "admin.crt")
            key = _copied(configuration.key_file, folder / "admin.key")
        authority = _copied(str(configuration.ssl_ca_cert), folder / "ca.crt")
        # The client would keep its own copies of keys, by their content, until the process ends.
        config.kube_config._cleanup_temp_files()  # type: ignore[no-untyped-call] # noqa: SLF001 - it has no public way
        yield Credentials(
            server=str(configuration.host),
            ca_file=authority,
            client_certificate=certificate,
            client_key=key,
            token_file=_token_file(configuration.api_key.get("BearerToken"), folder / "token"),
        )


def _copied(source: str, target: Path) -> Path:
    _write(target, Path(source).read_bytes())
    return target


def _token_file(header: str | None, target: Path) -> Path | None:
    if not header:
        return None
    _write(target, header.removeprefix("Bearer ").encode("ascii"))
    return target


def _write(target: Path, content: bytes) -> None:
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
