"""Manifests of a run on Kubernetes: the resources of Dask's operator, and the secret with the run's certificate. Pure functions."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import dask

from swath.cluster.providers.kubernetes.api import OPERATOR_GROUP
from swath.cluster.providers.kubernetes.fleet import EXPIRES, ROLE, RUN
from swath.cluster.providers.machine import LABEL_LENGTH
from swath.cluster.workers.dask_settings import SETTINGS
from swath.cluster.workers.tls import RunSecurity
from swath.spec.clusters.kubernetes import KubernetesCluster

PORT, STATUS_PORT = 8786, 8787
PORTS = {"tcp-comm": PORT, "http-dashboard": STATUS_PORT}
"""Ports of the scheduler, under the names that the operator expects."""
KEYS = "/etc/swath/tls"
"""Folder with the run's certificate in pods."""
POD_ROLES = ("scheduler", "worker")
USER = 10001
"""Id of the container's user: see infra/docker/Dockerfile."""
SCHEDULER = {"cpu": "1", "memory": "2G"}
"""Resources of the scheduler's pod."""
DEATH_TIMEOUT_S = 300
"""A worker ends when its scheduler is gone for so long."""
NAME_LENGTH = 40
"""Characters of a cluster's name: the operator appends to it, and names of resources are limited."""

Resource = dict[str, Any]


def name_of(label: str) -> str:
    """Name of a run's cluster: letters, digits and hyphens, a letter first."""
    return f"swath-{label[-(NAME_LENGTH - 6) :].replace('_', '-').strip('-')}"


def cluster(spec: KubernetesCluster, label: str, expires: int) -> Resource:
    """The DaskCluster of a run with a label. `expires` in seconds since 1970."""
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
            f"--death-timeout={DEATH_TIMEOUT_S}",
            "--no-dashboard",
        ),
        *(["--resources=gpu=1"] if spec.gpus else []),
        *keys,
    ]
    pod_resources = {"cpu": f"{spec.cpu:g}", "memory": str(round(spec.memory_gb * 1e9))}
    if spec.gpus:
        pod_resources["nvidia.com/gpu"] = str(spec.gpus)
    placement: Resource = {}
    if spec.node_selector:
        placement["nodeSelector"] = dict(spec.node_selector)
    if spec.tolerations:
        placement["tolerations"] = [
            {
                "key": each.key,
                **({"operator": "Exists"} if each.value is None else {"operator": "Equal", "value": each.value}),
                **({"effect": each.effect} if each.effect else {}),
            }
            for each in spec.tolerations
        ]
    selector = {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    return {
        "apiVersion": OPERATOR_GROUP,
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
                "spec": {**_pod(spec, name, "worker", worker, pod_resources, spec.env), **placement},
            },
        },
    }


def autoscaler(spec: KubernetesCluster, label: str, owner: Mapping[str, Any]) -> Resource | None:
    """The DaskAutoscaler, with which the operator follows the scheduler's own estimate; None for a fixed number of workers."""
    if not spec.workers.elastic:
        return None
    name = name_of(label)
    return {
        "apiVersion": OPERATOR_GROUP,
        "kind": "DaskAutoscaler",
        "metadata": {"name": name, "namespace": spec.namespace, "labels": {RUN: label}, "ownerReferences": [owner]},
        "spec": {"cluster": name, "minimum": spec.workers.min, "maximum": spec.workers.max},
    }


def secret(namespace: str, label: str, security: RunSecurity, owner: Mapping[str, Any]) -> Resource:
    """The Secret with certificates and keys of the run's roles. It is deleted with the cluster, its owner."""
    keys: Any = security  # distributed sets these by name
    files = {"ca.pem": keys.tls_ca_file}
    for role in POD_ROLES:
        files |= {f"{role}-{part}.pem": getattr(keys, f"tls_{role}_{part}") for part in ("cert", "key")}
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


def owner(cluster: Mapping[str, Any]) -> Resource:
    """Owner reference to a cluster that was created: a resource with it is deleted with the cluster."""
    return {
        "apiVersion": OPERATOR_GROUP,
        "kind": "DaskCluster",
        "name": cluster["metadata"]["name"],
        "uid": cluster["metadata"]["uid"],
        "blockOwnerDeletion": False,
    }


def _labels(label: str, expires: int) -> Resource:
    return {RUN: label[:LABEL_LENGTH], EXPIRES: str(expires)}


def _pod(
    spec: KubernetesCluster,
    name: str,
    role: str,
    arguments: list[str],
    resources: Mapping[str, str],
    env: Mapping[str, str],
) -> Resource:
    pod: Resource = {
        "containers": [
            {
                "name": role,
                "image": spec.image,
                "args": arguments,
                "env": [{"name": key, "value": value} for key, value in {**env, **_settings()}.items()],
                "resources": {"requests": dict(resources), "limits": dict(resources)},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "tls", "mountPath": KEYS, "readOnly": True}],
                **(_scheduler_ports() if role == "scheduler" else {}),
            }
        ],
        # The secret is created after the cluster, its owner: pods wait for it.
        "volumes": [{"name": "tls", "secret": _mounted_keys(name, role)}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 20,
    }
    if spec.service_account:
        pod["serviceAccountName"] = spec.service_account
    return pod


def _mounted_keys(name: str, role: str) -> Resource:
    """The part of the secret that pods of a role see: the authority, and their own certificate and key."""
    items = [{"key": "ca.pem", "path": "ca.pem"}]
    items += [{"key": f"{role}-{part}.pem", "path": f"{part}.pem"} for part in ("cert", "key")]
    return {"secretName": f"{name}-tls", "defaultMode": 0o440, "items": items}


def _scheduler_ports() -> Resource:
    """Ports and readiness probe of the scheduler's container."""
    return {
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in PORTS.items()],
        "readinessProbe": {"tcpSocket": {"port": "tcp-comm"}, "periodSeconds": 2},
    }


def _settings() -> dict[str, str]:
    """Environment with Dask's settings: swath's, encryption, and the web page by which the operator sees an idle cluster."""
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
