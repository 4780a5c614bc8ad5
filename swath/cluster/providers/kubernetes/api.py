"""Calls of the API server of Kubernetes: create, list and delete resources of one namespace, read logs, forward ports."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from swath.cluster.providers.kubernetes.errors import mapped_errors
from swath.errors import MissingExtra
from swath.spec.clusters.kubernetes import KubernetesCluster

OPERATOR_GROUP = "kubernetes.dask.org/v1"
"""API group and version of the resources of Dask's operator."""
ACCESS_REVIEW = "SelfSubjectAccessReview"
"""Kind of the resource that answers whether this account may do something."""


def place_of(spec: KubernetesCluster) -> str:
    """`NAMESPACE`, or `CONTEXT/NAMESPACE` where the spec names a context of the kubeconfig."""
    return f"{spec.context}/{spec.namespace}" if spec.context else spec.namespace


class KubernetesApi:
    """The API server, for one namespace. Raises CredentialsError and InfrastructureError."""

    def __init__(self, place: str) -> None:
        try:
            import kr8s
            from kr8s.objects import Deployment, Job, Pod, Secret, Service, new_class
        except ImportError as error:
            raise MissingExtra("kr8s", "kubernetes", "A cluster on Kubernetes") from error
        context, _, self.namespace = place.rpartition("/")
        # Given although kr8s would find it itself: kr8s caches connections by these arguments.
        config = os.environ.get("KUBECONFIG")
        self._api = mapped_errors(kr8s.api)(kubeconfig=config, context=context or None, namespace=self.namespace)
        self._not_found = kr8s.NotFoundError
        self._classes: dict[str, Any] = {
            **{kind: new_class(kind, OPERATOR_GROUP, asyncio=False) for kind in ("DaskCluster", "DaskAutoscaler")},
            **{each.__name__: each for each in (Deployment, Job, Pod, Secret, Service)},
            ACCESS_REVIEW: new_class(ACCESS_REVIEW, "authorization.k8s.io/v1", asyncio=False, namespaced=False),
        }

    @mapped_errors
    def create(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """Create a resource. Returns it as the server stored it."""
        created = self._classes[resource["kind"]](dict(resource), api=self._api)
        created.create()
        return dict(created.raw.to_dict())

    @mapped_errors
    def find(self, kind: str, selector: str) -> list[dict[str, Any]]:
        """Resources of a kind that match a label selector."""
        found = self._classes[kind].list(namespace=self.namespace, label_selector=selector, api=self._api)
        return [each.raw.to_dict() for each in found]

    @mapped_errors
    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """One resource by its name, with the right to `get` it alone; None when it does not exist."""
        resource = self._classes[kind]({"metadata": {"name": name, "namespace": self.namespace}}, api=self._api)
        try:
            resource.refresh()
        except self._not_found:
            return None
        return dict(resource.raw.to_dict())

    @mapped_errors
    def delete(self, kind: str, name: str) -> None:
        """Delete a resource and what it owns. No error when it does not exist."""
        resource = {"apiVersion": "", "kind": kind, "metadata": {"name": name, "namespace": self.namespace}}
        with contextlib.suppress(self._not_found):
            self._classes[kind](resource, api=self._api).delete(propagation_policy="Background")

    @mapped_errors
    def log(self, pod: str, lines: int) -> str:
        """The last lines of a pod's log."""
        resource = {"metadata": {"name": pod, "namespace": self.namespace}}
        return "\n".join(self._classes["Pod"](resource, api=self._api).logs(tail_lines=lines))

    @contextlib.contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[int]:
        """Forward a port of a service. Yields the port on loopback that leads there."""
        resource = mapped_errors(self._classes["Service"].get)(service, namespace=self.namespace, api=self._api)
        forward = resource.portforward(port, local_port="auto")
        mapped_errors(forward.start)()
        try:
            while not forward.local_port:  # its thread looks for a free one
                time.sleep(0.01)
            yield forward.local_port
        finally:
            forward.stop()
