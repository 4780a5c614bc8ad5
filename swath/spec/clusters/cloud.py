"""Clusters that a run brings up on AWS or Google Cloud and takes down again, as a spec says them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from swath.spec.clusters.workers import Workers
from swath.spec.spec_model import SpecModel, mistake

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"
"""What the providers' names are made of; nothing that a shell or YAML could take for something else."""
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

_SECRET = re.compile(
    r"SECRET|PASSWORD|PASSWD|TOKEN$|PRIVATE_KEY|API_KEY|CREDENTIALS|(ACCOUNT|ACCESS|SAS)_KEY$", re.IGNORECASE
)


def refuse_secrets(env: Mapping[str, str]) -> None:
    """Raise a mistake for a name that is one of a secret."""
    for name in env:
        if _SECRET.search(name):
            raise mistake(
                "{name} looks like a secret, and everybody who may look at the machines could read it: give them a role instead"
                " (profile, service_account), or write secret_env: true",
                at=("env", name),
                name=name,
            )


class CloudCluster(SpecModel):
    """What clusters on all clouds have in common: one scheduler machine, and machines with a worker process per core."""

    workers: Workers = Workers(min=1, max=2)
    """Worker machines: a number, or {min: 1, max: 8}."""
    image: str = Field(pattern=NAME_PATTERN)
    """The container that all machines run, such as ghcr.io/acme/swath:1.2; made by `make image`."""
    machine_image: str | None = Field(default=None, pattern=NAME_PATTERN)
    """Machine image with Docker in it, made by `make machine-image`. A plain Ubuntu when not given: Docker is then installed at
    every boot, which takes some minutes."""
    processes: int | None = Field(default=None, ge=1, le=256)
    """Worker processes per machine, each with one thread; one per core when not given (one per GPU where there are any)."""
    spot: bool = False
    """Whether workers may be reclaimed at any moment, for a lower price. The scheduler never is."""
    public_ip: bool = True
    """Whether machines have an address on the internet: False where this machine reaches their network in another way."""
    disk_gb: int = Field(default=50, ge=10, le=16000)
    """Disk of each machine in GB."""
    max_hours: float = Field(default=12, gt=0, le=168)
    """Hours after which machines end themselves, whatever happens to this run and to this machine."""
    start_timeout_s: float = Field(default=600, gt=0)
    """Seconds in which the scheduler and the least number of workers have to be up."""
    seconds_per_megapixel: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds that one worker process takes for a million pixels of the map, for what `pipe plan` says of hours and cost; measured
    in earlier runs when not given."""
    env: dict[EnvironmentName, str] = Field(default_factory=dict)
    """Environment variables of the workers. Whoever may look at machines in the account can read them: no place for secrets."""
    secret_env: bool = False
    """Whether `env` may hold secrets all the same. Better give machines a role: `profile` on AWS, `service_account` on Google Cloud."""

    @field_validator("env")
    @classmethod
    def _plain(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if any(not each.isprintable() for each in value):
                raise mistake("{name} holds a line break or another control character", at=(name,), name=name)
        return env

    @model_validator(mode="after")
    def _no_secrets(self) -> Self:
        if not self.secret_env:
            refuse_secrets(self.env)
        return self


class AwsCluster(CloudCluster):
    """Machines on Amazon EC2."""

    kind: Literal["aws"]
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d+$")
    """Such as eu-central-1."""
    machine: str = Field(default="m7i.xlarge", pattern=NAME_PATTERN)
    """Instance type of the workers."""
    scheduler_machine: str = Field(default="t3.medium", pattern=NAME_PATTERN)
    """Instance type of the scheduler."""
    subnet: str | None = Field(default=None, pattern=r"^subnet-[0-9a-z]+$")
    """Where machines are put; the first subnet of the default VPC when not given."""
    security_groups: list[Annotated[str, Field(pattern=r"^sg-[0-9a-z]+$")]] = Field(min_length=1)
    """They must let this machine reach port 8786 of the scheduler, and machines each other."""
    profile: str | None = Field(default=None, pattern=NAME_PATTERN)
    """Instance profile of the machines (a name or an ARN), with which they read imagery and write results."""


class Gpus(SpecModel):
    """GPUs of each worker machine on Google Cloud, where the machine type itself has none."""

    type: str = Field(pattern=NAME_PATTERN)
    """Such as nvidia-tesla-t4."""
    count: int = Field(default=1, ge=1, le=16)


class GcpCluster(CloudCluster):
    """Machines on Google Compute Engine."""

    kind: Literal["gcp"]
    project: str = Field(pattern=r"^[a-z][a-z0-9:.-]+$")
    """The project's id."""
    zone: str = Field(pattern=r"^[a-z]+-[a-z]+\d+-[a-z]$")
    """Such as europe-west4-a."""
    machine: str = Field(default="n2-standard-4", pattern=NAME_PATTERN)
    """Machine type of the workers."""
    scheduler_machine: str = Field(default="e2-medium", pattern=NAME_PATTERN)
    """Machine type of the scheduler."""
    gpus: Gpus | None = None
    """GPUs that are added to each worker, such as {type: nvidia-tesla-t4, count: 1}."""
    network: str = Field(default="default", pattern=NAME_PATTERN)
    """A firewall rule of it must let this machine reach port 8786 of the scheduler, and machines each other."""
    subnetwork: str | None = Field(default=None, pattern=NAME_PATTERN)
    """In the zone's region; the one that is called as the network when not given."""
    service_account: str | None = Field(default=None, pattern=r"^\S+@\S+$")
    """With which machines read imagery and write results; Compute Engine's default account when not given."""

    @model_validator(mode="after")
    def _short_enough(self) -> GcpCluster:
        if self.max_hours * 3600 < 30:
            raise mistake("Compute Engine takes no limit below 30 seconds", at=("max_hours",))
        return self
