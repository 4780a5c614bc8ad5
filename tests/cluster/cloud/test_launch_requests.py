from __future__ import annotations

import ssl
from typing import Any

import dask.config
from distributed.security import Security

from swath.cluster.cloud.launch_requests import inherited_settings
from swath.cluster.workers import tls


def test_settings_of_one_cluster_reach_its_machines_only_and_are_small() -> None:
    before = dask.config.get("distributed.comm")
    security: Any = tls.run_security()
    text = inherited_settings(security, "worker")
    assert len(text) < 3000
    handed_down = dask.config.deserialize(text)
    assert dask.config.get("distributed.comm") == before
    with dask.config.set(dask.config.merge(dask.config.config, handed_down)):
        there: Any = Security()
    assert there.require_encryption
    assert there.tls_min_version == ssl.TLSVersion.TLSv1_3
    assert (there.tls_worker_cert, there.tls_ca_file) == (security.tls_worker_cert, security.tls_ca_file)
    assert there.tls_scheduler_key is None
