"""What Kubernetes is asked for: the resources of Dask's operator, and the secret with the run's certificate. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import dask

from swath.cluster.providers.machine import LABEL_LENGTH
from swath.cluster.workers.dask_settings import SETTINGS
from swath.cluster.workers.tls import RunSecurity
from swath.spec.clusters.kubernetes import KubernetesCluster

GROUP = "kubernetes.dask.org/v1"
PORT, STATUS_PORT = 8786, 8787
PORTS = {"tcp-comm": PORT, "http-dashboard": STATUS_PORT}
"""Of the scheduler, under the names by which the operator finds them."""
RUN, EXPIRES, ROLE = "swath-run", "swath-expires", "swath-role"
"""Labels, as Compute Engine's; the operator hands those of the cluster on to deployments and pods."""
KEYS = "/etc/swath/tls"
"""Where pods find the run's certificate."""
USER = 10001
"""Of the container: see infra/docker/Dockerfile."""
SCHEDULER = {"cpu": "1", "memory": "2G"}
WAIT_S = 300
"""A worker whose scheduler is gone for so long ends."""
NAME_LENGTH = 40
"""The operator makes longer names from a cluster's."""

Resource = dict[str, Any]


def name_of(label: str) -> str:
    """The name of a run's cluster: letters, digits and hyphens, begun by a letter."""
    return f"swath-{label[-(NAME_LENGTH - 6) :].replace('_', '-').strip('-')}"


def cluster(spec: KubernetesCluster, label: str, expires: int) -> Resource:
    """The DaskCluster of a run. `expires` in seconds since 1970."""
    name = name_of(label)
    address = f"tls://{name}-scheduler.{spec.namespace}.svc:{PORT}"
    keys = [
        f"--tls-{option}={KEYS}/{file}.pem" for option, file in (("ca-file", "ca"), ("cert", "cert"), ("key", "key"))
    ]
    scheduler = [
        *(
            "python",
            "-m",
            "distributed.cli.dask_scheduler",
            "--host=0.0.0.0",
            f"--port={PORT}",
            "--protocol=tls",
            *keys,
        ),
        f"--dashboard-address=:{STATUS_PORT}",
    ]
    worker = [
        *("python", "-m", "distributed.cli.dask_worker", address, "--name=$(DASK_WORKER_NAME)", "--nworkers=1"),
        *(
            "--nthreads=1",
            f"--memory-limit={round(spec.memory_gb * 1e9)}",
            f"--death-timeout={WAIT_S}",
            "--no-dashboard",
        ),
        *(["--resources=gpu=1"] if spec.gpus else []),
        *keys,
    ]
    size = {"cpu": f"{spec.cpu:g}", "memory": str(round(spec.memory_gb * 1e9))}
    if spec.gpus:
        size["nvidia.com/gpu"] = str(spec.gpus)
    place: Resource = {}
    if spec.node_selector:
        place["nodeSelector"] = dict(spec.node_selector)
    if spec.tolerations:
        place["tolerations"] = [
            {
                "key": each.key,
                **({"operator": "Exists"} if each.value is None else {"operator": "Equal", "value": each.value}),
                **({"effect": each.effect} if each.effect else {}),
            }
            for each in spec.tolerations
        ]
    selector = {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    return {
        "apiVersion": GROUP,
        "kind": "DaskCluster",
        "metadata": {"name": name, "namespace": spec.namespace, "labels": _labels(label, expires)},
        "spec": {
            "idleTimeout": round(spec.idle_minutes * 60),
            "scheduler": {
                "metadata": {"labels": {ROLE: "scheduler"}},
                "spec": _pod(spec, name, "scheduler", scheduler, SCHEDULER, {}),
                "service": {
                    "type": "LoadBalancer" if spec.reach == "load_balancer" else "ClusterIP",
                    "selector": selector,
                    "ports": [
                        {"name": name, "protocol": "TCP", "port": port, "targetPort": name}
                        for name, port in PORTS.items()
                    ],
                },
            },
            "worker": {
                "metadata": {"labels": {ROLE: "worker"}},
                "replicas": spec.workers.min,
                "spec": {**_pod(spec, name, "worker", worker, size, spec.env), **place},
            },
        },
    }


def autoscaler(spec: KubernetesCluster, label: str, owner: Mapping[str, Any]) -> Resource | None:
    """What has the operator follow the scheduler's own estimate; None for a fixed number of workers."""
    if not spec.workers.elastic:
        return None
    name = name_of(label)
    return {
        "apiVersion": GROUP,
        "kind": "DaskAutoscaler",
        "metadata": {"name": name, "namespace": spec.namespace, "labels": {RUN: label}, "ownerReferences": [owner]},
        "spec": {"cluster": name, "minimum": spec.workers.min, "maximum": spec.workers.max},
    }


def secret(namespace: str, label: str, security: RunSecurity, owner: Mapping[str, Any]) -> Resource:
    """Certificate and key of the run; it goes with the cluster that owns it."""
    keys: Any = security  # distributed sets these by name
    files = {"ca.pem": keys.tls_ca_file, "cert.pem": keys.tls_scheduler_cert, "key.pem": keys.tls_scheduler_key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": f"{name_of(label)}-tls",
            "namespace": namespace,
            "labels": {RUN: label},
            "ownerReferences": [owner],
        },
        "data": {file: base64.b64encode(text.encode()).decode() for file, text in files.items()},
    }


def owner(made: Mapping[str, Any]) -> Resource:
    """What makes a resource go with a cluster that was made."""
    return {
        "apiVersion": GROUP,
        "kind": "DaskCluster",
        "name": made["metadata"]["name"],
        "uid": made["metadata"]["uid"],
        "blockOwnerDeletion": False,
    }


def _labels(label: str, expires: int) -> Resource:
    return {RUN: label[:LABEL_LENGTH], EXPIRES: str(expires)}


def _pod(
    spec: KubernetesCluster, name: str, role: str, arguments: list[str], size: Mapping[str, str], env: Mapping[str, str]
) -> Resource:
    pod: Resource = {
        "containers": [
            {
                "name": role,
                "image": spec.image,
                "args": arguments,
                "env": [{"name": key, "value": value} for key, value in {**env, **_settings()}.items()],
                "resources": {"requests": dict(size), "limits": dict(size)},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "tls", "mountPath": KEYS, "readOnly": True}],
                **(_listens() if role == "scheduler" else {}),
            }
        ],
        # The secret is made after the cluster that owns it: pods wait for it.
        "volumes": [{"name": "tls", "secret": {"secretName": f"{name}-tls", "defaultMode": 0o440}}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 20,
    }
    if spec.service_account:
        pod["serviceAccountName"] = spec.service_account
    return pod


def _listens() -> Resource:
    """What the scheduler's container has, and not the workers'."""
    return {
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in PORTS.items()],
        "readinessProbe": {"tcpSocket": {"port": "tcp-comm"}, "periodSeconds": 2},
    }


def _settings() -> dict[str, str]:
    """Dask's settings, for the environment: ours, encryption, and the one page that the operator asks for idleness."""
    settings: dict[str, Any] = {}
    dask.config.set(
        {
            **SETTINGS,
            "distributed.comm.require-encryption": True,
            "distributed.scheduler.http.routes": ["distributed.http.health", "distributed.http.scheduler.api"],
        },
        config=settings,
    )
    return {"DASK_INTERNAL_INHERIT_CONFIG": dask.config.serialize(settings)}
