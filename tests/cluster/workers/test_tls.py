from __future__ import annotations

import contextlib
import datetime
import os
import pickle
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import psutil
import pytest

from swath.cluster.contract import RunningCluster
from swath.cluster.open import open_cluster
from swath.cluster.workers import tls
from swath.errors import CredentialsError
from swath.spec.clusters.cluster import LocalCluster, TlsFiles


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with open_cluster(LocalCluster(workers=1), tmp_path_factory.mktemp("state")) as running:
        yield running


def port(cluster: RunningCluster) -> int:
    return int(cluster.address.rpartition(":")[2])


def test_scheduler_and_workers_speak_tls(local: RunningCluster) -> None:
    workers = local.session.client.scheduler_info()["workers"]  # type: ignore[attr-defined]
    assert local.address.startswith("tls://127.0.0.1:")
    assert all(address.startswith("tls://127.0.0.1:") for address in workers)
    assert all(worker["nanny"].startswith("tls://127.0.0.1:") for worker in workers.values())


@pytest.mark.parametrize("scheme", ["tls", "tcp"])
def test_a_client_without_the_run_s_key_cannot_connect(local: RunningCluster, scheme: str) -> None:
    security = tls.run_security() if scheme == "tls" else None
    with pytest.raises(OSError, match=r"Timed out|[Cc]ertificate|decrypt|SSL|reset"):
        distributed.Client(f"{scheme}://127.0.0.1:{port(local)}", security=security, timeout=2, set_as_default=False)


def test_a_connection_without_a_certificate_is_refused(local: RunningCluster) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port(local)), 10) as plain,
        pytest.raises(OSError, match=r"(?i)certificate"),
        context.wrap_socket(plain) as wrapped,
    ):
        wrapped.recv(1)  # in TLS 1.3 the client learns only from its first read that it was refused


def test_the_key_is_in_no_file_and_in_no_process_s_environment_or_command_line(
    local: RunningCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = tls.run_security()
    if hasattr(os, "memfd_create"):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))  # a temporary file would fail
        made.get_connection_args("client")
        made.get_listen_args("scheduler")
    assert "PRIVATE" not in repr(made)
    secret = local.session.client.security.tls_client_key.splitlines()[1]  # type: ignore[attr-defined]
    me = psutil.Process()
    seen = 0
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # a process of another test that has just ended
            assert secret not in " ".join(process.environ().values())
            assert secret not in " ".join(process.cmdline())
            seen += 1
    assert seen > 1


def test_each_run_has_a_key_of_its_own_of_an_elliptic_curve() -> None:
    one, two = tls.run_security(), tls.run_security()
    assert one.tls_client_key != two.tls_client_key
    assert len(one.tls_client_key) < 300


def test_tls_files_that_cannot_be_used_are_exit_code_4_without_a_prompt(tls_files: TlsFiles) -> None:
    from cryptography.hazmat.primitives import serialization

    tls.security_from_files(tls_files)
    key = Path(tls_files.key)
    good = key.read_bytes()
    locked = serialization.load_pem_private_key(good, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    for bad in (locked, tls.run_security().tls_client_key.encode(), b"no key"):
        key.write_bytes(bad)
        with pytest.raises(CredentialsError, match="TLS files") as caught:
            tls.security_from_files(tls_files)
        assert caught.value.exit_code == 4


@contextlib.contextmanager
def listening(security: Any, role: str) -> Iterator[tuple[int, list[Any]]]:
    """A TLS server with the certificate of a role: its port, and the certificates of its peers."""
    context = security.get_listen_args(role)["ssl_context"]
    peers: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = server.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as wrapped:
                        peers.append(wrapped.getpeercert())
                        wrapped.send(b"1")

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], peers


def handshake(security: Any, role: str, port: int) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        security.get_connection_args(role)["ssl_context"].wrap_socket(plain) as wrapped,
    ):
        assert wrapped.recv(1) == b"1"


def days_from_now(days: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


@pytest.mark.parametrize("days", [-800, -1, 1, 800])
def test_a_clock_that_is_set_back_or_forward_ends_no_connection(days: int) -> None:
    """The clock at the handshake is not the one by which the certificates were made."""
    security = tls.run_security(days_from_now(days))
    with listening(security, "scheduler") as (port, _):
        handshake(security, "worker", port)


def test_a_local_cluster_works_by_a_clock_that_is_set_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    security = tls.run_security(days_from_now(800))
    monkeypatch.setattr(tls, "run_security", lambda: security)
    with open_cluster(LocalCluster(workers=1), tmp_path) as running:
        client = running.session.client  # type: ignore[attr-defined]
        client.restart_workers(list(client.scheduler_info()["workers"]), timeout=30)
        assert client.submit(abs, -1).result(30) == 1


def test_each_role_has_a_key_of_its_own_and_its_name_in_the_certificate() -> None:
    security: Any = tls.run_security()
    assert len({getattr(security, f"tls_{role}_key") for role in tls.ROLES}) == 3
    with listening(security, "scheduler") as (port, peers):
        for role in tls.ROLES:
            handshake(security, role, port)
    assert [tls.role_of(peer) for peer in peers] == list(tls.ROLES)
    assert tls.role_of(None) == ""


def test_a_client_s_key_does_not_pass_for_a_scheduler() -> None:
    security: Any = tls.run_security()
    pretended = tls.RunSecurity(  # type: ignore[no-untyped-call]
        require_encryption=True, tls_ca_file=security.tls_ca_file,
        tls_scheduler_cert=security.tls_client_cert, tls_scheduler_key=security.tls_client_key,
    )  # fmt: skip
    with listening(pretended, "scheduler") as (port, _), pytest.raises(ssl.SSLError, match="purpose"):
        handshake(security, "worker", port)


def test_worker_processes_get_the_worker_s_key_only() -> None:
    security: Any = tls.run_security()
    there: Any = pickle.loads(pickle.dumps(security))
    assert there.tls_worker_key == security.tls_worker_key
    assert there.tls_client_key is None
    assert there.tls_scheduler_key is None
    assert there.require_encryption


def test_certificates_are_valid_for_a_year_before_and_after_the_run() -> None:
    from cryptography import x509

    now = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    security: Any = tls.run_security(now)
    for text in (security.tls_ca_file, security.tls_client_cert):
        certificate = x509.load_pem_x509_certificate(text.encode())
        assert (now - certificate.not_valid_before_utc).days == tls.VALID_DAYS
        assert (certificate.not_valid_after_utc - now).days == tls.VALID_DAYS
