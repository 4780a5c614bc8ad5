"""dask-cloudprovider's own cluster classes on the simulated clouds: what ours are compared with."""

from __future__ import annotations

import os
from typing import Any

from tests.clouds.control import Cloud

SMALL: dict[str, Any] = {"worker_options": {"nthreads": 1}, "bootstrap": False, "docker_image": "ghcr.io/acme/swath:1"}


def ec2_cluster(cloud: Cloud, **options: Any) -> Any:
    """A standard EC2Cluster. The only seam is the endpoint that botocore reads from the environment."""
    from dask_cloudprovider.aws import EC2Cluster

    there = cloud.network
    return EC2Cluster(
        region=there["region"],
        ami=there["image"],
        vpc=there["vpc"],
        subnet_id=there["subnet"],
        security_groups=[there["security_group"]],
        use_private_ip=True,
        **SMALL | options,
    )


def gcp_cluster(cloud: Cloud, **options: Any) -> Any:
    """A standard GCPCluster. It has no setting for the endpoint, which is the only thing that is put in."""
    import google.auth
    import googleapiclient.discovery
    from dask_cloudprovider.gcp import instances

    class Compute(instances.GCPCompute):  # type: ignore[misc]
        def refresh_client(self) -> Any:
            credentials, _ = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"])
            return googleapiclient.discovery.build(
                "compute",
                "v1",
                credentials=credentials,
                requestBuilder=instances.build_request(credentials),
                client_options={"api_endpoint": os.environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"]},
                static_discovery=True,
            )

    instances.GCPCompute = Compute
    instances.is_inside_gce = lambda: False  # it would ask a name server
    there = cloud.network
    return instances.GCPCluster(
        projectid=there["project"],
        zone=there["zone"],
        source_image=there["image"],
        machine_type="e2-standard-2",
        scheduler_ngpus=0,
        worker_ngpus=0,
        **SMALL | options,
    )
