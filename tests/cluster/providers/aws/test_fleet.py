from __future__ import annotations

import dataclasses

from swath.cluster.providers.aws.fleet import Ec2Fleet
from swath.cluster.providers.aws.launch import Ec2Provider
from tests.clouds.control import Cloud
from tests.cluster.providers.aws.test_launch import launch_request
from tests.cluster.specs import ec2_spec


def test_the_fleet_lists_paid_instances_and_terminates_all_that_exist(ec2_cloud: Cloud) -> None:
    provider, fleet = Ec2Provider(ec2_spec(ec2_cloud)), Ec2Fleet(ec2_cloud.network["region"])
    one, two = (provider.launch(launch_request(name=name)) for name in ("m-1", "m-2"))
    assert {each.name for each in fleet.machines("r-9")} == {each.name for each in fleet.machines()} == {"m-1", "m-2"}
    assert fleet.machines("r-8") == []
    (listed,) = [each for each in fleet.machines("r-9") if each.id == one.id]
    assert (listed.run, listed.role, listed.expires, listed.type) == ("r-9", "worker", 2e9, "m7i.xlarge")
    unknown = dataclasses.replace(one, id="i-0123456789abcdef0")
    fleet.terminate([unknown, one, two])
    assert fleet.machines("r-9") == []
    fleet.terminate([one])
    assert provider.status(unknown).ended is False
    assert provider.status(one).ended
    assert two.id in fleet.removal_command(two)
