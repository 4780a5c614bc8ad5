"""Instances on EC2: one per request, in the right network, and gone at their time limit."""

from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.machine import cloud_init
from swath.cluster.providers.aws.api import AwsLimits
from swath.cluster.providers.aws.launch import Ec2Provider, run_instances
from swath.cluster.providers.contract import LaunchRequest
from swath.errors import InfrastructureError
from tests.clouds.control import Cloud
from tests.cluster.specs import ec2_spec


def launch_request(**fields: Any) -> LaunchRequest:
    defaults = {"name": "m-1", "role": "worker", "type": "m7i.xlarge", "spot": False, "label": "r-9", "expires": 2e9}
    return LaunchRequest(**defaults | {"user_data": "#cloud-config\n{}\n"} | fields)


def test_an_instance_ends_at_its_time_limit_whatever_its_container_does(ec2_cloud: Cloud) -> None:
    ec2_cloud.behaviour(container="hangs")
    ec2_cloud.speed(3600)
    plain = cloud_init.BootPlan(image="acme/swath:1", command=("python",), env={}, expires=2_000_000_000, limit_s=3600)
    Ec2Provider(ec2_spec(ec2_cloud)).launch(launch_request(user_data=cloud_init.user_data(plain)))
    assert ec2_cloud.alive()
    assert ec2_cloud.empty(within_s=20)
    assert "TerminateInstances" not in ec2_cloud.actions()


def test_a_request_that_is_sent_twice_launches_one_instance(ec2_cloud: Cloud) -> None:
    ec2_cloud.fail_create(when="after")
    Ec2Provider(ec2_spec(ec2_cloud)).launch(launch_request())
    assert ec2_cloud.actions().count("RunInstances") == 2
    assert len(ec2_cloud.alive()) == 1


def test_without_a_subnet_machines_are_in_the_default_vpc_and_in_the_next_zone_when_one_is_sold_out(
    ec2_cloud: Cloud,
) -> None:
    ec2_cloud.stock_out(nth=1, times=AwsLimits().attempts)  # the library asks again, too
    provider = Ec2Provider(ec2_spec(ec2_cloud, subnet=None))
    provider.launch(launch_request())
    asked = [call["parameters"] for call in ec2_cloud.calls() if call["action"] == "RunInstances"]
    zones = list(dict.fromkeys(each["NetworkInterface.1.SubnetId"] for each in asked))
    assert zones == provider._ec2.default_subnets()[:2]
    assert len(ec2_cloud.alive()) == 1


def test_a_missing_resource_is_named(ec2_cloud: Cloud) -> None:
    with pytest.raises(InfrastructureError, match="InvalidInstanceType") as caught:
        Ec2Provider(ec2_spec(ec2_cloud, machine="m99.huge"))
    assert "cluster.machine" in caught.value.remedy
    with pytest.raises(InfrastructureError, match="image") as caught:
        Ec2Provider(ec2_spec(ec2_cloud, machine_image="ami-00000000")).launch(launch_request())
    assert "cluster.machine_image" in caught.value.remedy


def test_the_request_protects_the_metadata_and_deletes_the_disk(ec2_cloud: Cloud) -> None:
    image = {"ImageId": "ami-1", "RootDeviceName": "/dev/xvda"}
    spec = ec2_spec(ec2_cloud, profile="arn:aws:iam::1:instance-profile/w", public_ip=False)
    arguments = run_instances(spec, launch_request(spot=True), image=image, subnet="subnet-1", token="t")
    assert arguments["MetadataOptions"]["HttpTokens"] == "required"
    assert arguments["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert arguments["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert arguments["BlockDeviceMappings"][0]["DeviceName"] == "/dev/xvda"
    assert arguments["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"]
    assert arguments["IamInstanceProfile"] == {"Arn": "arn:aws:iam::1:instance-profile/w"}
    assert arguments["InstanceMarketOptions"]["MarketType"] == "spot"
    assert arguments["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert {each["ResourceType"] for each in arguments["TagSpecifications"]} == {
        "instance",
        "volume",
        "spot-instances-request",
    }


def test_a_machine_is_launched_on_demand_when_the_account_may_have_no_more_spot_machines(ec2_cloud: Cloud) -> None:
    """EC2's code MaxSpotInstanceCountExceeded is about the whole region: no other subnet is asked for a spot machine."""
    ec2_cloud.fault(
        "RunInstances", "MaxSpotInstanceCountExceeded", status=400, message="Max spot instance count exceeded"
    )
    provider = Ec2Provider(ec2_spec(ec2_cloud, subnet=None, spot=True, on_demand=True))
    launched = provider.launch(launch_request(spot=True))
    assert not launched.spot
    asked = [call["parameters"] for call in ec2_cloud.calls() if call["action"] == "RunInstances"]
    assert ["spot" in str(each) for each in asked] == [True, False]
    provider.fleet.terminate([launched])
    assert ec2_cloud.empty()
