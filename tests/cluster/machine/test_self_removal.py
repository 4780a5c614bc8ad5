"""An orphaned machine on Compute Engine deletes itself, where its account has the right."""

from __future__ import annotations

import dataclasses

import pytest

from swath.cluster.machine import cloud_init
from swath.cluster.providers.gcp.launch import GceProvider, instance_name
from tests.clouds.control import Cloud
from tests.cluster.providers.gcp.test_launch import launch_request
from tests.cluster.specs import gce_spec


@pytest.mark.parametrize("allowed", [True, False])
def test_an_orphaned_machine_deletes_itself_where_it_is_allowed(gce_cloud: Cloud, allowed: bool) -> None:
    gce_cloud.self_removal(allowed)
    command = ("python", "-m", "swath.cluster.machine.self_removal", "--after-s", "0")
    boot = cloud_init.BootPlan("swath:1", ("false",), {}, 0, final_command=command)
    name = "run-1-worker-1"
    GceProvider(gce_spec(gce_cloud)).launch(
        dataclasses.replace(launch_request(name), user_data=cloud_init.user_data(boot))
    )
    if allowed:
        assert gce_cloud.until(lambda: not gce_cloud.alive())
        assert [call["who"] for call in gce_cloud.calls() if call["action"] == "instances.delete"] == ["machine"]
    else:
        assert gce_cloud.until(lambda: "may not delete itself" in gce_cloud.console(instance_name(name)))
        assert gce_cloud.names() == [instance_name(name)]
