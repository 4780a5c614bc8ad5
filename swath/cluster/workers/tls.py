"""TLS between the processes of one cluster: with certificates created for one run, or with the files that a spec names.

Whoever can connect to a Dask scheduler can run code in it, so listening on loopback only is not enough on a machine with other
users: a connection needs a key of the run. Client, scheduler and workers have one each, signed by an authority of the run whose own
key is thrown away. The certificate names the role: a scheduler on a machine refuses a client's operations to all others
(machine/scheduler_roles.py), and TLS itself refuses a client's certificate on a listening side.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from distributed.security import Security

from swath.errors import CredentialsError
from swath.spec.clusters.cluster import TlsFiles

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

NAME = "swath"
VALID_DAYS = 365
"""Before and after the start of the run, for readers that check dates; swath does not."""
NO_DATE_CHECK = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME. A key of a run is lost with the run's processes, so dates protect nothing, and clocks of two
machines differ, or are set while a run goes on."""
Role: TypeAlias = Literal["client", "scheduler", "worker"]
ROLES: tuple[Role, ...] = ("client", "scheduler", "worker")


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
        context.verify_flags |= NO_DATE_CHECK
        return context

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled for a worker process that this one starts: with a worker's key only."""
        return _worker_security, (self._fields(WORKER_FIELDS),)

    def _fields(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}


WORKER_FIELDS = ("require_encryption", "tls_min_version", "tls_ca_file", "tls_worker_cert", "tls_worker_key")


def _worker_security(fields: dict[str, Any]) -> RunSecurity:
    created: Any = RunSecurity
    security: RunSecurity = created(**fields)
    return security


@contextlib.contextmanager
def _memory_file(text: str) -> Iterator[str]:
    descriptor = os.memfd_create("swath-tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def run_security(now: datetime.datetime | None = None) -> RunSecurity:
    """New keys (P-256), one for each role of one cluster. `now` is the time by this machine's clock."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name(f"{NAME}-run")
    now = now or datetime.datetime.now(datetime.UTC)

    def certificate(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=VALID_DAYS))
            .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        )

    authority = certificate(authority_name, authority_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    fields: dict[str, str] = {"tls_ca_file": _pem(authority.sign(authority_key, hashes.SHA256()))}
    client_auth, server_auth = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [client_auth] if role == "client" else [client_auth, server_auth]
        signed = (
            certificate(_name(f"{NAME}-{role}"), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=True)
            .sign(authority_key, hashes.SHA256())
        )
        fields |= {f"tls_{role}_cert": _pem(signed), f"tls_{role}_key": _private_pem(key)}
    security: Any = RunSecurity  # distributed has no types for it
    created: RunSecurity = security(require_encryption=True, tls_min_version=ssl.TLSVersion.TLSv1_3, **fields)
    return created


def _name(common_name: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def role_of(peer_certificate: Mapping[str, Any] | None) -> str:
    """The role of a peer, of a certificate as `ssl` describes it; empty for one that is not of a run."""
    for part in (peer_certificate or {}).get("subject", ()):
        for field, value in part:
            if field == "commonName" and str(value).startswith(f"{NAME}-"):
                return str(value).removeprefix(f"{NAME}-")
    return ""


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
