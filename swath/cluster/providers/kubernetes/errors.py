"""Errors between this process and the API server of Kubernetes, as errors of swath."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from swath.errors import CredentialsError, InfrastructureError

P = ParamSpec("P")
T = TypeVar("T")


def mapped_errors(call: Callable[P, T]) -> Callable[P, T]:
    """`call`, which raises CredentialsError and InfrastructureError in place of kr8s's and httpx's errors."""

    @functools.wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        import httpx
        import kr8s

        try:
            return call(*args, **kwargs)
        except kr8s.ServerError as error:
            code = error.response.status_code if error.response is not None else 0
            if code in (401, 403):
                raise CredentialsError(
                    f"Kubernetes does not allow it: {error}",
                    remedy="`kubectl auth can-i --list` shows what is allowed; what is needed is in infra/iam/kubernetes-client.yaml",
                ) from error
            no_operator = code == 404 and "the server could not find the requested resource" in str(error)
            raise InfrastructureError(
                f"Kubernetes refused: {error}",
                remedy="install Dask's operator there, see docs/images.md"
                if no_operator
                else "`kubectl get events` may say more",
            ) from error
        except (kr8s.APITimeoutError, httpx.HTTPError, OSError) as error:
            raise InfrastructureError(
                f"the API server of Kubernetes does not answer: {error or type(error).__name__}",
                remedy="`kubectl cluster-info` shows whether the kubeconfig is right",
            ) from error
        except ValueError as error:
            raise CredentialsError(
                f"there is no usable kubeconfig: {error}",
                remedy="set KUBECONFIG, or cluster.context to one of its contexts",
            ) from error

    return wrapped
