"""The simulated clouds, for their own tests."""

from tests.clouds.plugin import ec2_cloud, ec2_process, gce_cloud, gce_process

__all__ = ["ec2_cloud", "ec2_process", "gce_cloud", "gce_process"]
