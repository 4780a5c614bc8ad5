"""Secrets of Kubernetes, with the rights of the pod's service account, or of the kubeconfig."""

from __future__ import annotations

import base64
import binascii

from swath.cluster.providers.kubernetes.api import KubernetesApi
from swath.errors import CredentialsError, UsageError


def secret_value(place: str, key: str) -> str:
    """The value of a key of NAMESPACE/NAME. Raises UsageError where there is none, CredentialsError where this account may not read
    it, and InfrastructureError."""
    namespace, _, name = place.partition("/")
    try:
        found = KubernetesApi(namespace).get("Secret", name)
    except CredentialsError as error:
        raise CredentialsError(
            error.message, remedy=f"the account needs the right to get the secret {name} in the namespace {namespace}"
        ) from error
    data = (found or {}).get("data") or {}
    if key not in data:
        what = f"no key {key}" if found else "nothing"
        raise UsageError(f"there is {what} at {place} in Kubernetes", remedy="see: kubectl get secrets")
    try:
        return base64.b64decode(data[key], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise UsageError(f"{key} of {place} is not UTF-8") from None
