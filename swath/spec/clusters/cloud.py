"""Clusters on AWS and Google Cloud in a spec: machines that a run starts, and terminates at its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from swath.spec.clusters.machine_types import ec2_has_gpus, ec2_is_arm, gcp_has_gpus, gcp_is_arm
from swath.spec.clusters.workers import Workers
from swath.spec.spec_model import SpecModel, mistake

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"
"""Names of machine types, images and profiles; without characters that have a meaning in a shell or in YAML."""
AUTO = "auto"
"""In place of a region or zone: that of the bucket of results."""
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

_SECRET = re.compile(
    r"SECRET|PASSWORD|PASSWD|TOKEN$|PRIVATE_KEY|API_KEY|CREDENTIALS|(ACCOUNT|ACCESS|SAS)_KEY$", re.IGNORECASE
)


def names_secret(name: str) -> bool:
    """Whether the name of a variable is that of a secret."""
    return _SECRET.search(name) is not None


def refuse_secrets(env: Mapping[str, str]) -> None:
    """Raise a mistake for the first variable whose name is that of a secret."""
    for name in env:
        if names_secret(name):
            raise mistake(
                "{name} looks like a secret, and every process on the machines could read it: give them a role instead"
                " (profile, service_account), or write secret_env: true",
                at=("env", name),
                name=name,
            )


def _require_driver(machine: str, machine_image: str | None) -> None:
    """Raise a mistake for GPUs without a machine image: Ubuntu's own has no driver for them."""
    if machine_image is None:
        raise mistake(
            "{machine} has GPUs, and Ubuntu's own machine image has no driver for them: make one with `make machine-image VARIANT=gpu`,"
            " and set machine_image",
            at=("machine",),
            machine=machine,
        )


class CloudCluster(SpecModel):
    """Fields of clusters on all clouds: one machine for the scheduler, and machines with one worker process per core."""

    workers: Workers = Workers(min=1, max=2)
    """Number of worker machines: a number, or {min: 1, max: 8}."""
    image: str = Field(pattern=NAME_PATTERN)
    """Container image of all machines, such as ghcr.io/acme/swath:1.2; built by `make image`."""
    machine_image: str | None = Field(default=None, pattern=NAME_PATTERN)
    """Machine image with Docker, built by `make machine-image`: an id (AWS), a name (Google Cloud), or family/swath for the newest of
    that family. A plain Ubuntu when not given: Docker is then installed at every boot, which takes minutes."""
    processes: int | None = Field(default=None, ge=1, le=256)
    """Worker processes per machine, each with one thread; one per core when not given (one per GPU where there are any)."""
    machine: str = Field(pattern=NAME_PATTERN)
    """Machine type of the workers."""
    machines: list[Annotated[str, Field(pattern=NAME_PATTERN)]] = Field(default_factory=list, max_length=7)
    """More machine types for workers. Where there is no room for one the next is tried: the cheapest for each process first."""
    spot: bool = False
    """Whether workers are spot machines, which the provider may terminate at any time. The scheduler never is one."""
    on_demand: bool = False
    """Whether workers are launched on demand when no zone has room for spot machines. Needs spot: true."""
    public_ip: bool = True
    """Whether machines have a public IP address. False if this machine reaches their network in another way, such as a VPN."""
    disk_gb: int = Field(default=50, ge=10, le=16000)
    """Disk of each machine in GB."""
    max_hours: float = Field(default=12, gt=0, le=168)
    """Hours after which machines terminate themselves, even if this run and this machine are lost."""
    start_timeout_s: float = Field(default=600, gt=0)
    """Timeout in seconds for the start of the scheduler and of the smallest number of workers."""
    seconds_per_megapixel: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds per million pixels of the map in one worker process, for the estimate of `pipe plan`; measured in earlier runs when
    not given."""
    env: dict[EnvironmentName, str] = Field(default_factory=dict)
    """Environment variables of the workers. Everybody who can describe machines of the account can read them, except secrets: values
    from `${env:NAME}` and names such as API_TOKEN. Those are set when a worker has connected, over the run's encrypted connection."""
    secret_env: bool = False
    """Allow names of secrets in `env`. A role of the machines is safer: `profile` on AWS, `service_account` on Google Cloud."""

    @field_validator("env")
    @classmethod
    def _plain(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if any(not each.isprintable() for each in value):
                raise mistake("{name} contains a line break or another control character", at=(name,), name=name)
        return env

    @model_validator(mode="after")
    def _spot_first(self) -> Self:
        if self.on_demand and not self.spot:
            raise mistake(
                "on_demand says what happens when there is no room for spot machines: set spot: true, too",
                at=("on_demand",),
            )
        return self

    @model_validator(mode="after")
    def _no_secrets(self) -> Self:
        if not self.secret_env:
            refuse_secrets(self.env)
        return self

    @property
    def worker_machines(self) -> list[str]:
        """Machine types for workers, each once."""
        return list(dict.fromkeys((self.machine, *self.machines)))

    def _require_alike(self, what: str, has: Callable[[str], bool]) -> None:
        """Raise a mistake when only some of the machine types have something: one container is started on all of them."""
        for number, name in enumerate(self.machines):
            if has(name) != has(self.machine):
                one, other = (name, self.machine) if has(name) else (self.machine, name)
                raise mistake(
                    "{one} has {what}, {other} has not: one container is started on all of them",
                    at=("machines", number),
                    one=one,
                    other=other,
                    what=what,
                )


class AwsRegion(SpecModel):
    """What differs in another region of AWS."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d+$")
    """Such as eu-west-1."""
    security_groups: list[Annotated[str, Field(pattern=r"^sg-[0-9a-z]+$")]] = Field(min_length=1)
    """Security groups of that region."""
    subnet: str | None = Field(default=None, pattern=r"^subnet-[0-9a-z]+$")
    """Subnet of the machines; those of the default VPC when not given."""
    subnets: list[Annotated[str, Field(pattern=r"^subnet-[0-9a-z]+$")]] = Field(default_factory=list, max_length=16)
    """More subnets."""
    machine_image: str | None = Field(default=None, pattern=NAME_PATTERN)
    """Machine image of that region; needed where the cluster's is an id. family/NAME is looked up in each region."""


class AwsCluster(CloudCluster):
    """Machines on Amazon EC2."""

    kind: Literal["aws"]
    region: str = Field(pattern=r"^(auto|[a-z]{2}(-[a-z]+)+-\d+)$")
    """Such as eu-central-1; `auto` for the region of the bucket of results."""
    machine: str = Field(default="m7i.xlarge", pattern=NAME_PATTERN)
    """Instance type of the workers."""
    scheduler_machine: str = Field(default="t3.medium", pattern=NAME_PATTERN)
    """Instance type of the scheduler."""
    subnet: str | None = Field(default=None, pattern=r"^subnet-[0-9a-z]+$")
    """Subnet of the machines; those of the default VPC when not given, one after the other where a zone has no room."""
    subnets: list[Annotated[str, Field(pattern=r"^subnet-[0-9a-z]+$")]] = Field(default_factory=list, max_length=16)
    """More subnets, of other zones of the same VPC, in which machines are launched when the one before has no room."""
    security_groups: list[Annotated[str, Field(pattern=r"^sg-[0-9a-z]+$")]] = Field(min_length=1)
    """They must allow connections from this machine to port 8786 of the scheduler, and between the machines."""
    profile: str | None = Field(default=None, pattern=NAME_PATTERN)
    """Instance profile of the machines (a name or an ARN): their permissions to read imagery and write results."""
    regions: list[AwsRegion] = Field(default_factory=list, max_length=4)
    """More regions, in which the whole cluster is launched when those before have no room. Traffic with buckets elsewhere is paid."""

    def in_regions(self) -> list[AwsCluster]:
        """This cluster in each of its regions, in the order in which they are tried."""
        here = self.model_copy(update={"regions": []})
        there = [
            here.model_copy(
                update={
                    **each.model_dump(exclude={"machine_image"}),
                    "machine_image": each.machine_image or self.machine_image,
                }
            )
            for each in self.regions
        ]
        return [here, *there]

    @model_validator(mode="after")
    def _one_way_to_say_where(self) -> AwsCluster:
        if self.region == AUTO and self.regions:
            raise mistake("region: auto is one region, that of the bucket: name the first one as well", at=("regions",))
        return self

    @model_validator(mode="after")
    def _complete_regions(self) -> AwsCluster:
        for number, each in enumerate(self.regions):
            if each.machine_image is None and (self.machine_image or "").startswith("ami-"):
                raise mistake(
                    "{image} is an image of {here}: give machine_image of {there}, or family/NAME for both",
                    at=("regions", number),
                    image=self.machine_image,
                    here=self.region,
                    there=each.region,
                )
            if each.subnets and each.subnet is None:
                raise mistake(
                    "these are tried after subnet: set it to the first one", at=("regions", number, "subnets")
                )
        return self

    @model_validator(mode="after")
    def _first_subnet(self) -> AwsCluster:
        if self.subnets and self.subnet is None:
            raise mistake("these are tried after subnet: set it to the first one", at=("subnets",))
        return self

    @model_validator(mode="after")
    def _alike(self) -> AwsCluster:
        self._require_alike("GPUs", ec2_has_gpus)
        self._require_alike("Arm processors", ec2_is_arm)
        return self

    @model_validator(mode="after")
    def _has_driver(self) -> AwsCluster:
        if ec2_has_gpus(self.machine):
            _require_driver(self.machine, self.machine_image)
        return self


class Gpus(SpecModel):
    """GPUs that are attached to each worker machine on Google Cloud."""

    type: str = Field(pattern=NAME_PATTERN)
    """Such as nvidia-tesla-t4."""
    count: int = Field(default=1, ge=1, le=16)


class GcpCluster(CloudCluster):
    """Machines on Google Compute Engine."""

    kind: Literal["gcp"]
    project: str = Field(pattern=r"^[a-z][a-z0-9:.-]+$")
    """The project's id."""
    zone: str = Field(pattern=r"^(auto|[a-z]+-[a-z]+\d+-[a-z])$")
    """Such as europe-west4-a; `auto` for the zones of the region of the bucket of results, one after the other."""
    zones: list[Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+\d+-[a-z]$")]] = Field(default_factory=list, max_length=16)
    """More zones, in which machines are launched when the one before has no room. Machines of a run are in one region: in zones of
    another one the whole cluster is launched when there is no room in the region before. Traffic with buckets elsewhere is paid."""
    machine: str = Field(default="n2-standard-4", pattern=NAME_PATTERN)
    """Machine type of the workers."""
    scheduler_machine: str = Field(default="e2-medium", pattern=NAME_PATTERN)
    """Machine type of the scheduler."""
    gpus: Gpus | None = None
    """GPUs that are added to each worker, a machine of the family n1, such as {type: nvidia-tesla-t4, count: 1}."""
    network: str = Field(default="default", pattern=NAME_PATTERN)
    """Network of the machines. Its firewall rules must allow connections from this machine to port 8786 of the scheduler, and between
    the machines."""
    subnetwork: str | None = Field(default=None, pattern=NAME_PATTERN)
    """Subnetwork in the region of the zone; the one with the name of the network when not given."""
    service_account: str | None = Field(default=None, pattern=r"^\S+@\S+$")
    """Service account of the machines, with permissions to read imagery and write results; the default one when not given."""

    def in_regions(self) -> list[GcpCluster]:
        """This cluster in each of its regions, with the zones there, in the order in which they are tried."""
        zones: dict[str, list[str]] = {}
        for zone in dict.fromkeys((self.zone, *self.zones)):
            zones.setdefault(zone.rpartition("-")[0], []).append(zone)
        return [self.model_copy(update={"zone": first, "zones": others}) for first, *others in zones.values()]

    @model_validator(mode="after")
    def _one_way_to_say_where(self) -> GcpCluster:
        if self.zone == AUTO and self.zones:
            raise mistake(
                "zone: auto has all zones of the bucket's region: leave this out, or name the first zone", at=("zones",)
            )
        return self

    @model_validator(mode="after")
    def _subnetwork_of_all_regions(self) -> GcpCluster:
        named = re.search(r"regions/([^/]+)/", self.subnetwork or "")
        for number, zone in enumerate(self.zones):
            if named is not None and zone.rpartition("-")[0] != named[1]:
                raise mistake(
                    "{zone} is not in {region}, the region of subnetwork: give the name alone of one that all regions have",
                    at=("zones", number),
                    zone=zone,
                    region=named[1],
                )
        return self

    @model_validator(mode="after")
    def _alike(self) -> GcpCluster:
        self._require_alike("GPUs", gcp_has_gpus)
        self._require_alike("Arm processors", gcp_is_arm)
        return self

    @model_validator(mode="after")
    def _takes_gpus(self) -> GcpCluster:
        other = next((each for each in self.worker_machines if not each.startswith("n1-")), None)
        if self.gpus is not None and other is not None:
            raise mistake(
                "GPUs are added to machines of the family n1 only, and {machine} is none: set machine to n1-standard-8, or to one"
                " that has GPUs of its own (g2, g4, a2, a3, a4) without gpus",
                at=("gpus",),
                machine=other,
            )
        return self

    @model_validator(mode="after")
    def _has_driver(self) -> GcpCluster:
        if self.gpus is not None or gcp_has_gpus(self.machine):
            _require_driver(self.machine, self.machine_image)
        return self

    @model_validator(mode="after")
    def _short_enough(self) -> GcpCluster:
        if self.max_hours * 3600 < 30:
            raise mistake("Compute Engine takes no limit below 30 seconds", at=("max_hours",))
        return self
