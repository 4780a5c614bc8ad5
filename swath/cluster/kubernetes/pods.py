"""A Dask cluster of pods, made for one run by Dask's operator: leased and guarded as the machines of other clouds are.

What is asked for is in daskcluster.py. The fleet here lists what a run has in a namespace, the operator's resource, its deployments
and its pods, so that `pipe sweep`, the guardian and the end of a run see it as they see machines.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import distributed

from swath import crashpoint
from swath.cluster.contract import RunContext, RunningCluster
from swath.cluster.kubernetes import manifests
from swath.cluster.kubernetes.manifests import EXPIRES, PORT, ROLE, RUN
from swath.cluster.local.address import answering, quiet_client, seen_by_workers
from swath.cluster.providers.machine import Fleet, Kind, Machine
from swath.cluster.teardown.guardian import guarded
from swath.cluster.teardown.lease import CloudLease, leases_of
from swath.cluster.teardown.removal import remove_all
from swath.cluster.workers import resources as offered
from swath.cluster.workers import tls, versions
from swath.cluster.workers.late_joiners import LateJoiners
from swath.cluster.workers.setup import hosted
from swath.code_shipping import ProjectCode
from swath.engine.call import OutputListener
from swath.engine.executors.dask import DaskExecutor
from swath.engine.executors.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import CredentialsError, InfrastructureError, MissingExtra, StateError
from swath.spec.clusters.kubernetes import KubernetesCluster

LOOK_EVERY_S = 0.5
CONNECT_S = 10.0
REVIEW = "SelfSubjectAccessReview"
"""The question whether this account may do something."""
OVER = ("Succeeded", "Failed")
"""Pods in these phases hold nothing any more."""
P = ParamSpec("P")
T = TypeVar("T")


def place_of(spec: KubernetesCluster) -> str:
    """A namespace, with the kubeconfig's context before it where the spec names one."""
    return f"{spec.context}/{spec.namespace}" if spec.context else spec.namespace


def _told(call: Callable[P, T]) -> Callable[P, T]:
    """What goes wrong between this process and the API server, as errors of ours."""

    @functools.wraps(call)
    def tells(*arguments: P.args, **more: P.kwargs) -> T:
        import httpx
        import kr8s

        try:
            return call(*arguments, **more)
        except kr8s.ServerError as error:
            code = error.response.status_code if error.response is not None else 0
            if code in (401, 403):
                raise CredentialsError(
                    f"Kubernetes does not allow it: {error}",
                    remedy="`kubectl auth can-i --list` says what is allowed; what is needed is in infra/iam/kubernetes-client.yaml",
                ) from error
            missing = code == 404 and "the server could not find the requested resource" in str(error)
            raise InfrastructureError(
                f"Kubernetes refused: {error}",
                remedy="install Dask's operator there, see docs/images.md"
                if missing
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

    return tells


class Kubernetes:
    """The API server's part that is needed here: make, list and delete in one namespace."""

    def __init__(self, place: str) -> None:
        try:
            import kr8s
            from kr8s.objects import Deployment, Pod, Secret, Service, new_class
        except ImportError as error:
            raise MissingExtra("kr8s", "kubernetes", "A cluster on Kubernetes") from error
        context, _, self.namespace = place.rpartition("/")
        # Named although it is what kr8s looks for: it keeps connections by what they are called with.
        config = os.environ.get("KUBECONFIG")
        self._api = _told(kr8s.api)(kubeconfig=config, context=context or None, namespace=self.namespace)
        self._gone = kr8s.NotFoundError
        self._classes: dict[str, Any] = {
            **{kind: new_class(kind, manifests.GROUP, asyncio=False) for kind in ("DaskCluster", "DaskAutoscaler")},
            **{each.__name__: each for each in (Deployment, Pod, Secret, Service)},
            REVIEW: new_class(REVIEW, "authorization.k8s.io/v1", asyncio=False, namespaced=False),
        }

    @_told
    def make(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """Make a resource; as it was made."""
        made = self._classes[resource["kind"]](dict(resource), api=self._api)
        made.create()
        return dict(made.raw.to_dict())

    @_told
    def listed(self, kind: str, selector: str) -> list[dict[str, Any]]:
        found = self._classes[kind].list(namespace=self.namespace, label_selector=selector, api=self._api)
        return [each.raw.to_dict() for each in found]

    @_told
    def delete(self, kind: str, name: str) -> None:
        """One that is gone is none to complain about."""
        resource = {"apiVersion": "", "kind": kind, "metadata": {"name": name, "namespace": self.namespace}}
        with contextlib.suppress(self._gone):
            self._classes[kind](resource, api=self._api).delete(propagation_policy="Background")

    @_told
    def log(self, pod: str, lines: int) -> str:
        resource = {"metadata": {"name": pod, "namespace": self.namespace}}
        return "\n".join(self._classes["Pod"](resource, api=self._api).logs(tail_lines=lines))

    @contextlib.contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[int]:
        """A port of loopback that leads to a service's."""
        resource = _told(self._classes["Service"].get)(service, namespace=self.namespace, api=self._api)
        forward = resource.portforward(port, local_port="auto")
        _told(forward.start)()
        try:
            while not forward.local_port:  # its thread looks for a free one
                time.sleep(0.01)
            yield forward.local_port
        finally:
            forward.stop()


class KubernetesFleet:
    """What runs have in a namespace."""

    kind: Kind = "kubernetes"

    def __init__(self, place: str) -> None:
        self.place = place
        self._kubernetes: Kubernetes | None = None

    @property
    def kubernetes(self) -> Kubernetes:
        self._kubernetes = self._kubernetes or Kubernetes(self.place)
        return self._kubernetes

    def machines(self, run: str | None = None) -> list[Machine]:
        selector = f"{RUN}={run}" if run else RUN
        return [
            self._machine(kind, each)
            for kind in ("DaskCluster", "Deployment", "Pod")
            for each in self.kubernetes.listed(kind, selector)
            if each.get("status", {}).get("phase") not in OVER or kind != "Pod"
        ]

    def end(self, machines: Sequence[Machine]) -> None:
        for kind in ("DaskCluster", "Deployment", "Pod"):  # owners first: they would make what they own again
            for each in machines:
                if each.type == kind:
                    self.kubernetes.delete(kind, each.name)

    def console(self, machine: Machine, lines: int = 20) -> str:
        return self.kubernetes.log(machine.name, lines) if machine.type == "Pod" else ""

    def removal(self, machine: Machine) -> str:
        context, _, namespace = self.place.rpartition("/")
        command = ["kubectl", *([f"--context={context}"] if context else []), f"--namespace={namespace}", "delete"]
        return " ".join([*command, machine.type.lower(), machine.name])

    def _machine(self, kind: str, found: Mapping[str, Any]) -> Machine:
        metadata = found["metadata"]
        labels = metadata.get("labels", {})
        expires = str(labels.get(EXPIRES, ""))
        status = found.get("status", {})
        return Machine(
            id=metadata.get("uid", metadata["name"]),
            name=metadata["name"],
            run=labels[RUN],
            role=labels.get(ROLE, "cluster"),
            expires=float(expires) if expires.isdecimal() else 0.0,
            place=self.place,
            state="deleted" if metadata.get("deletionTimestamp") else status.get("phase", ""),
            type=kind,
        )


class KubernetesPods:
    """A scheduler and workers in pods, for one run."""

    kind = "kubernetes"

    def __init__(self, spec: KubernetesCluster, tenant: RunContext) -> None:
        self.address = ""
        self.workers = 0
        self._spec = spec
        self._tenant = tenant
        self._lease = CloudLease.new(tenant.run, "kubernetes", place_of(spec))
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            self._fleet = KubernetesFleet(self._lease.place)
            self._fleet.machines(self._lease.label)  # no kubeconfig, no operator: told before anything is begun
            for earlier in leases_of(self._tenant.journal, self._tenant.run):
                self._remove(earlier)
            self._lease.write(self._tenant.journal)
            guardian = exits.enter_context(guarded(self._lease, self._tenant.journal.folder))
            crashpoint.reached("leased")
            exits.callback(self._gone, guardian.release)
            self._deadline = time.monotonic() + self._spec.start_timeout_s
            security = tls.for_this_run()
            self._make(security)
            self.address = f"tls://{exits.enter_context(self._reached())}"
            exits.enter_context(quiet_client())
            self._client: Any = exits.enter_context(self._connected(security))
            self._wait(self._enough)
            with answering(self.address):
                versions.check(self._client, self.address)
                if remark := versions.remark(self._client):
                    self._tenant.say("warning", remark)
                exits.enter_context(hosted(self._client, ProjectCode.loaded()))
                self._newcomers = exits.enter_context(
                    LateJoiners(self._client, lambda: versions.check(self._client, self.address))
                )
            self.workers = self._count()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        return DaskExecutor(self._client, on_output, check=self.check)

    def check(self, resources: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can have these resources, or when one has joined that does not fit."""
        self._newcomers.check()
        if resources:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
            if workers:  # a pod that is replaced comes again
                offered.check(resources, [worker["resources"] for worker in workers])

    def check_store(self, store: ResultStore) -> None:
        seen_by_workers(self._client, store)

    # --- coming up and going down

    def _make(self, security: tls.RunSecurity) -> None:
        label, kubernetes = self._lease.label, self._fleet.kubernetes
        expires = int(time.time() + self._spec.max_hours * 3600)
        crashpoint.reached("asking")
        owner = manifests.owner(kubernetes.make(manifests.cluster(self._spec, label, expires)))
        crashpoint.reached("made")
        kubernetes.make(manifests.secret(self._spec.namespace, label, security, owner))
        if scaling := manifests.autoscaler(self._spec, label, owner):
            kubernetes.make(scaling)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[str]:
        """HOST:PORT of the scheduler."""
        name = f"{manifests.name_of(self._lease.label)}-scheduler"
        service = self._wait(self._service)
        if self._spec.reach == "forward":
            self._wait(self._scheduler_is_up)
            with self._fleet.kubernetes.forwarded(name, PORT) as port:
                yield f"127.0.0.1:{port}"
        elif self._spec.reach == "inside":
            yield f"{name}.{self._spec.namespace}.svc:{PORT}"
        else:
            (ingress, *_) = service["status"]["loadBalancer"]["ingress"]
            yield f"{ingress.get('hostname') or ingress['ip']}:{PORT}"

    def _service(self) -> dict[str, Any] | None:
        """The scheduler's service, when it has what is needed to reach it."""
        for each in self._fleet.kubernetes.listed("Service", f"{RUN}={self._lease.label}"):
            if self._spec.reach != "load_balancer" or each.get("status", {}).get("loadBalancer", {}).get("ingress"):
                return each
        return None

    def _scheduler_is_up(self) -> bool:
        pods = self._fleet.kubernetes.listed("Pod", f"{RUN}={self._lease.label},{ROLE}=scheduler")
        return any(each.get("status", {}).get("phase") == "Running" for each in pods)

    def _connected(self, security: tls.RunSecurity) -> distributed.Client:
        def connect() -> distributed.Client | None:
            seconds = max(1.0, min(CONNECT_S, self._deadline - time.monotonic()))
            try:
                return distributed.Client(self.address, security=security, timeout=seconds, set_as_default=False)
            except (OSError, TimeoutError):
                return None  # the scheduler's process is not there yet

        return self._wait(connect)

    def _enough(self) -> bool:
        return self._count() >= self._spec.workers.min

    def _count(self) -> int:
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def _wait(self, there: Callable[[], T | None]) -> T:
        """What `there` gives when it gives something. Raises what the run was asked to stop by, and InfrastructureError with what
        Kubernetes says of the pods when the time is over."""
        while not (found := there()):
            if self._tenant.stop.requested:
                raise self._tenant.stop.requested
            if time.monotonic() > self._deadline:
                raise InfrastructureError(
                    f"the cluster on Kubernetes was not up after {self._spec.start_timeout_s:g} s: {self._told()}",
                    remedy="`kubectl describe pods` says more; cluster.start_timeout_s gives it more time",
                )
            time.sleep(LOOK_EVERY_S)
        return found

    def _told(self) -> str:
        """What is known of the pods."""
        pods = self._fleet.kubernetes.listed("Pod", f"{RUN}={self._lease.label}")
        return "; ".join(map(_state, pods)) or "the operator has made no pods: is it running?"

    def _gone(self, release: Callable[[], None]) -> None:
        self._remove(self._lease)
        release()

    def _remove(self, lease: CloudLease) -> None:
        remove_all(lease.fleet, lease.label, say=lambda text: self._tenant.say("warning", text))
        with contextlib.suppress(StateError):  # the next `pipe sweep` looks once more
            lease.end(self._tenant.journal)


def _state(pod: Mapping[str, Any]) -> str:
    """A pod in a line: its phase, and why it is not further."""
    status = pod.get("status", {})
    why = [
        f"{state.get('reason', '')} {state.get('message', '')}".strip()
        for container in status.get("containerStatuses", [])
        for state in container.get("state", {}).values()
        if state.get("reason")
    ] + [
        each["message"] for each in status.get("conditions", []) if each.get("status") == "False" and "message" in each
    ]
    return " ".join(
        [f"pod {pod['metadata']['name']} is {status.get('phase', 'unknown')}", *(f"({each})" for each in why[:1])]
    )


_: type[Fleet] = KubernetesFleet
__: type[RunningCluster] = KubernetesPods
