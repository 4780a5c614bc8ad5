"""TLS between the processes of one cluster: with a certificate created for one run, or with the files that a spec names.

Whoever can connect to a Dask scheduler can run code in it, so listening on loopback only is not enough on a machine with other
users: a connection needs the run's key.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
from collections.abc import Iterator
from typing import Any, NoReturn

from distributed.security import Security

from swath.errors import CredentialsError
from swath.spec.clusters.cluster import TlsFiles

NAME = "swath"
VALID_DAYS = 365
"""Longer than any run: a restarted worker could not connect with an expired certificate. The key is lost with the run's processes."""
ROLES = ("client", "scheduler", "worker")


class RunSecurity(Security):
    """Certificate and key that are in memory only: workers get them through the pipes that start them.

    OpenSSL reads keys from files only. `Security` writes a temporary one; this class uses a file in memory where the system has
    such files (Linux).
    """

    def _get_tls_context(self, tls: dict[str, Any], purpose: ssl.Purpose) -> ssl.SSLContext:
        base: Any = super()
        context: ssl.SSLContext
        if hasattr(os, "memfd_create"):
            with _memory_file(f"{tls['cert']}\n{tls['key']}") as path:
                context = base._get_tls_context({**tls, "cert": path, "key": path}, purpose)
        else:
            context = base._get_tls_context(tls, purpose)
        return context


@contextlib.contextmanager
def _memory_file(text: str) -> Iterator[str]:
    descriptor = os.memfd_create("swath-tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def run_security() -> RunSecurity:
    """A new key (P-256) with a self-signed certificate, for all roles of one cluster."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = certificate.public_bytes(serialization.Encoding.PEM).decode()
    security: Any = RunSecurity  # distributed has no types for it
    created: RunSecurity = security(
        require_encryption=True,
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        tls_ca_file=public,
        **{f"tls_{role}_cert": public for role in ROLES},
        **{f"tls_{role}_key": private for role in ROLES},
    )
    return created


def security_from_files(files: TlsFiles) -> Security:
    """TLS of a client for a scheduler that swath did not start. Raises CredentialsError when the files cannot be used."""
    try:
        context = ssl.create_default_context(cafile=files.ca)
        context.load_cert_chain(files.cert, files.key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CredentialsError(
            f"the TLS files of the cluster cannot be used: {error}",
            remedy="cluster.tls needs ca, cert and key as PEM files, the key without a password and made for that cert",
        ) from error
    return Security(require_encryption=True, tls_ca_file=files.ca, tls_client_cert=files.cert, tls_client_key=files.key)


def _no_password() -> NoReturn:
    # Without a callback OpenSSL asks on the terminal.
    raise ValueError("the key has a password")
