"""Errors of kr8s and httpx become errors of swath with the remedy that fits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import kr8s
import pytest

from swath.cluster.providers.kubernetes.errors import mapped_errors
from swath.errors import CredentialsError, InfrastructureError

ABSENT = "the server could not find the requested resource"


def refused(code: int | None, text: str) -> kr8s.ServerError:
    response: Any = None if code is None else SimpleNamespace(status_code=code)
    return kr8s.ServerError(text, response=response)


@pytest.mark.parametrize(
    ("error", "expected", "remedy"),
    [
        (refused(401, "who"), CredentialsError, "kubectl auth can-i"),
        (refused(403, "no"), CredentialsError, "kubectl auth can-i"),
        (refused(404, ABSENT), InfrastructureError, "install Dask's operator"),
        (refused(404, "no such pod"), InfrastructureError, "kubectl get events"),
        (refused(405, ABSENT), InfrastructureError, "kubectl get events"),
        (refused(None, "cut"), InfrastructureError, "kubectl get events"),
        (kr8s.APITimeoutError(), InfrastructureError, "kubectl cluster-info"),
        (httpx.ConnectError("refused"), InfrastructureError, "kubectl cluster-info"),
        (OSError("cut"), InfrastructureError, "kubectl cluster-info"),
        (ValueError("no context"), CredentialsError, "KUBECONFIG"),
    ],
)
def test_each_error_has_its_remedy(error: Exception, expected: type[Exception], remedy: str) -> None:
    @mapped_errors
    def call() -> None:
        raise error

    with pytest.raises(expected) as caught:
        call()
    assert remedy in caught.value.remedy  # type: ignore[attr-defined]


def test_what_is_returned_is_returned() -> None:
    assert mapped_errors(lambda value: value + 1)(1) == 2
