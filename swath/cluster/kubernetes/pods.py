"""The cluster for `cluster: {kind: kubernetes}`: pods that Dask's operator starts for one run.

manifests.py builds the resources. The lease, the guardian and the removal are those of machines in other clouds: the fleet in
providers/kubernetes lists the run's resources as machines.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import distributed

from swath import crashpoint
from swath.cluster.contract import RunContext, RunningCluster
from swath.cluster.kubernetes import manifests
from swath.cluster.kubernetes.manifests import PORT
from swath.cluster.providers.kubernetes.api import KubernetesApi, place_of
from swath.cluster.providers.kubernetes.fleet import ROLE, RUN
from swath.cluster.teardown.lease import CloudLease
from swath.cluster.teardown.leased import leased
from swath.cluster.workers import tls
from swath.cluster.workers.secret_env import without_secrets
from swath.cluster.workers.session import connect, quiet_dask, session
from swath.engine.call import OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError
from swath.spec.clusters.kubernetes import KubernetesCluster

POLL_S = 0.5
CONNECT_S = 10.0
"""Of one attempt to connect; attempts are repeated until the start timeout."""
T = TypeVar("T")


class KubernetesPods:
    """A scheduler and workers in pods, for one run."""

    kind = "kubernetes"

    def __init__(self, spec: KubernetesCluster, context: RunContext) -> None:
        self.address = ""
        self.workers = 0
        self._spec, self._secret_env = without_secrets(spec, context.secrets)
        self._context = context
        self._lease = CloudLease.new(context.run, "kubernetes", place_of(spec))
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            exits.enter_context(leased(self._lease, self._context))
            self._api = KubernetesApi(self._lease.place)
            self._deadline = time.monotonic() + self._spec.start_timeout_s
            security = tls.run_security()
            self._create(security)
            self.address = f"tls://{exits.enter_context(self._scheduler_address())}"
            exits.enter_context(quiet_dask())
            client = exits.enter_context(self._connect(security))
            self._wait(lambda: _workers(client) >= self._spec.workers.min)
            self.session = exits.enter_context(
                session(client, self.address, self._warn, end_with_run=True, env=self._secret_env)
            )
            self.workers = self.session.workers
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        return self.session.executor(on_output, self.check)

    def check(self, requested: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can have these resources, or when one has joined that does not fit."""
        self.session.check_late_joiners()
        self.session.check_resources(requested, workers_return=True)  # the operator replaces pods

    def check_store(self, store: ResultStore) -> None:
        self.session.check_store(store)

    # --- starting

    def _create(self, security: tls.RunSecurity) -> None:
        """Create the resources of the run. The cluster is first: it owns the others, which are deleted with it."""
        label = self._lease.label
        expires = int(time.time() + self._spec.max_hours * 3600)
        crashpoint.reached("launching")
        owner = manifests.owner(self._api.create(manifests.cluster(self._spec, label, expires)))
        crashpoint.reached("launched")
        self._api.create(manifests.secret(self._spec.namespace, label, security, owner))
        if scaling := manifests.autoscaler(self._spec, label, owner):
            self._api.create(scaling)

    @contextlib.contextmanager
    def _scheduler_address(self) -> Iterator[str]:
        """HOST:PORT of the scheduler, as this process reaches it: see `reach` in the spec."""
        name = f"{manifests.name_of(self._lease.label)}-scheduler"
        service = self._wait(self._service)
        if self._spec.reach == "forward":
            self._wait(self._scheduler_runs)
            with self._api.forwarded(name, PORT) as port:
                yield f"127.0.0.1:{port}"
        elif self._spec.reach == "inside":
            yield f"{name}.{self._spec.namespace}.svc:{PORT}"
        else:
            (ingress, *_) = service["status"]["loadBalancer"]["ingress"]
            yield f"{ingress.get('hostname') or ingress['ip']}:{PORT}"

    def _service(self) -> dict[str, Any] | None:
        """The scheduler's service; None until it exists and has the address that is needed."""
        for each in self._api.find("Service", f"{RUN}={self._lease.label}"):
            if self._spec.reach != "load_balancer" or each.get("status", {}).get("loadBalancer", {}).get("ingress"):
                return each
        return None

    def _scheduler_runs(self) -> bool:
        pods = self._api.find("Pod", f"{RUN}={self._lease.label},{ROLE}=scheduler")
        return any(each.get("status", {}).get("phase") == "Running" for each in pods)

    def _connect(self, security: tls.RunSecurity) -> distributed.Client:
        def attempt() -> distributed.Client | None:
            try:
                return connect(self.address, security, max(1.0, min(CONNECT_S, self._deadline - time.monotonic())))
            except (OSError, TimeoutError):
                return None  # the scheduler's process has not started yet

        return self._wait(attempt)

    def _wait(self, condition: Callable[[], T | None]) -> T:
        """The value of `condition` once it is true. Raises the reason for which the run was asked to stop, and
        InfrastructureError with the state of the pods when the time is over."""
        while True:
            if self._context.stop.requested:
                raise self._context.stop.requested
            if value := condition():
                return value
            if time.monotonic() > self._deadline:
                raise InfrastructureError(
                    f"the cluster on Kubernetes was not up after {self._spec.start_timeout_s:g} s: {self._pod_states()}",
                    remedy="`kubectl describe pods` says more; cluster.start_timeout_s gives it more time",
                )
            time.sleep(POLL_S)

    def _pod_states(self) -> str:
        pods = self._api.find("Pod", f"{RUN}={self._lease.label}")
        return "; ".join(map(pod_state, pods)) or "the operator has created no pods: is it running?"

    def _warn(self, message: str) -> None:
        self._context.say("warning", message)


def _workers(client: Any) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])


def pod_state(pod: Mapping[str, Any]) -> str:
    """A pod in one line: its phase, and why it does not run yet."""
    status = pod.get("status", {})
    reasons = [
        f"{state.get('reason', '')} {state.get('message', '')}".strip()
        for container in status.get("containerStatuses", [])
        for state in container.get("state", {}).values()
        if state.get("reason")
    ] + [
        each["message"] for each in status.get("conditions", []) if each.get("status") == "False" and "message" in each
    ]
    phase = f"pod {pod['metadata']['name']} is {status.get('phase', 'unknown')}"
    return " ".join([phase, *(f"({each})" for each in reasons[:1])])


_: type[RunningCluster] = KubernetesPods
