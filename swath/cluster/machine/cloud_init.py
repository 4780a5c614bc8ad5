"""User data of a machine: the document of cloud-init that sets the machine's time limit and runs one container. Pure functions.

Commands are lists of arguments, not shell text, so that values of environment variables need no quoting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import yaml

from swath.cluster.providers.machine import CloudKind

Command: TypeAlias = tuple[str, ...]

CONTAINER_ENDED = "swath: the container has ended"
"""Line that a machine writes to its console when its container has ended."""
MAX_BYTES = 16_000
"""EC2 accepts no more than 16 KB of user data."""


@dataclass(frozen=True)
class ContainerRegistry:
    """A cloud's own container registry, which a machine reads with its instance profile or service account."""

    host: str
    kind: CloudKind


def registry_of(image: str) -> ContainerRegistry | None:
    """The registry of an image; None when it is not a cloud's own. A password for another one has to be in the machine image."""
    host = image.partition("/")[0]
    if re.fullmatch(r"\d+\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?", host):
        return ContainerRegistry(host, "aws")
    if re.fullmatch(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)", host):
        return ContainerRegistry(host, "gcp")
    return None


@dataclass(frozen=True)
class BootPlan:
    """What a machine does after it has started."""

    image: str
    """Container image."""
    command: Command
    """Of the container."""
    env: Mapping[str, str]
    """Environment of the container."""
    expires: int
    """Time after which the machine is not needed, in seconds since 1970. Machine images made by swath power off then, too."""
    limit_s: int | None = None
    """It powers itself off after so many seconds. None on Compute Engine, which deletes the instance itself: one that is only
    powered off is still paid for."""
    install: bool = False
    """Whether to install Docker, because it is not in the machine image."""
    gpus: bool = False
    registry: ContainerRegistry | None = None
    """The private registry of the image; None for a public one."""
    final_command: Command = ()
    """Of a second container, which runs when the first has ended in any way; it has no environment."""


def user_data(boot: BootPlan) -> str:
    """The user data for a boot plan."""
    document: dict[str, Any] = {}
    if boot.limit_s is not None:
        document["bootcmd"] = [list(power_off_after(boot.limit_s))]
    commands = [*(install_commands(boot.registry) if boot.install else ()), START]
    if boot.registry is not None and boot.registry.kind == "aws":
        content = json.dumps({"credHelpers": {boot.registry.host: "ecr-login"}})
        document["write_files"] = [{"path": f"{DOCKER}/config.json", "content": content}]
    elif boot.registry is not None:
        commands.append(("sh", "-c", SIGN_IN, "sh", boot.registry.host, DOCKER))
    commands += [run_container(boot), ("echo", CONTAINER_ENDED)]
    if boot.final_command:
        commands.append(run_container(replace(boot, command=boot.final_command, env={}, gpus=False)))
    if boot.limit_s is not None:
        commands.append(POWER_OFF)
    document["runcmd"] = [list(command) for command in commands]
    text = yaml.safe_dump(document, sort_keys=False, width=2**30, allow_unicode=True)
    return f"#cloud-config\n# swath-expires: {boot.expires}\n{text}"


def power_off_after(seconds: int) -> Command:
    """Power off after so long, whatever happens meanwhile.

    The command runs while systemd waits for cloud-init: it must not block, and the timer must have no dependencies.
    """
    return (
        "systemd-run",
        "--no-block",
        f"--on-active={seconds}",
        "--timer-property=AccuracySec=1s",
        "--timer-property=DefaultDependencies=no",
        "--property=DefaultDependencies=no",
        *POWER_OFF,
    )


POWER_OFF: Command = ("shutdown", "-h", "now")
START: Command = ("systemctl", "start", "docker")
"""Docker may not have started when cloud-init runs its commands."""
DOCKER = "/etc/swath/docker"
"""Folder of Docker's settings."""
SIGN_IN = r"""curl -fsS -H 'Metadata-Flavor: Google' \
http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token \
| sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p' \
| docker --config="$2" login --username oauth2accesstoken --password-stdin "https://$1" """
"""Shell script: signs Docker in to a registry of Google's with the machine's service account."""


APT_WAIT_S = 300
"""For the lock of dpkg: Ubuntu's unattended upgrades hold it in the first minutes after a boot."""
UPDATE = "for n in $(seq 30); do apt-get update && break; sleep 10; done"
"""Shell script: the lock of package lists has no option for its wait."""


def install_commands(registry: ContainerRegistry | None) -> tuple[Command, ...]:
    """Install Docker from Ubuntu's own packages, which needs no other package source and no key."""
    helper = ("amazon-ecr-credential-helper",) if registry is not None and registry.kind == "aws" else ()
    wait = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", f"DPkg::Lock::Timeout={APT_WAIT_S}")
    return (
        ("sh", "-c", UPDATE),
        (*wait, "install", "--yes", "docker.io", *helper),
    )


def run_container(boot: BootPlan) -> Command:
    """Run the container in the foreground, on the machine's own network."""
    return (
        "docker",
        f"--config={DOCKER}",
        "run",
        "--net=host",
        "--ipc=host",  # torch passes tensors between processes in shared memory
        *(("--gpus=all",) if boot.gpus else ()),
        *(word for name, value in boot.env.items() for word in ("-e", f"{name}={value}")),
        boot.image,
        *boot.command,
    )
