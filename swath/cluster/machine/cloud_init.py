"""How a machine in a cloud boots: cloud-init's document, as a pure function. First its own time limit, then one container.

Commands are lists of words, never text for a shell, so that no environment value can mean anything but itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import yaml

from swath.cluster.providers.machine import Kind

Words: TypeAlias = tuple[str, ...]

ENDED = "swath: the container has ended"
"""The last that a machine writes to its console: who waits for it need not wait any longer."""
MOST_BYTES = 16_000
"""EC2 takes no more than 16 KB of user data."""


@dataclass(frozen=True)
class ContainerRegistry:
    """A cloud's own registry of containers, which a machine may read with its profile or service account."""

    host: str
    kind: Kind


def registry_of(image: str) -> ContainerRegistry | None:
    """The cloud's registry that an image is in; None for all others: machine images have those that need a password."""
    host = image.partition("/")[0]
    if re.fullmatch(r"\d+\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?", host):
        return ContainerRegistry(host, "aws")
    if re.fullmatch(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)", host):
        return ContainerRegistry(host, "gcp")
    return None


@dataclass(frozen=True)
class BootPlan:
    """What a machine does from its first second on."""

    image: str
    """The container."""
    command: Words
    """What is run in it."""
    env: Mapping[str, str]
    """The container's environment."""
    expires: int
    """Seconds since 1970 at which nobody needs the machine any more; machine images made by swath look at it, too."""
    limit_s: int | None = None
    """After so many seconds it powers itself off; None where the cloud itself removes it (a machine that is only powered off is
    still paid for on Compute Engine)."""
    install: bool = False
    """Whether Docker is not in the machine image."""
    gpus: bool = False
    registry: ContainerRegistry | None = None
    """A private one that the image is in."""
    afterwards: Words = ()
    """What is run in a second container when the first has ended, however it did; without its environment."""


def user_data(boot: BootPlan) -> str:
    """cloud-init's document for a machine."""
    document: dict[str, Any] = {}
    if boot.limit_s is not None:
        document["bootcmd"] = [list(limit(boot.limit_s))]
    commands = [*(installation(boot.registry) if boot.install else ()), START]
    if boot.registry is not None and boot.registry.kind == "aws":
        content = json.dumps({"credHelpers": {boot.registry.host: "ecr-login"}})
        document["write_files"] = [{"path": f"{DOCKER}/config.json", "content": content}]
    elif boot.registry is not None:
        commands.append(("sh", "-c", SIGN_IN, "sh", boot.registry.host, DOCKER))
    commands += [container(boot), ("echo", ENDED)]
    if boot.afterwards:
        commands.append(container(replace(boot, command=boot.afterwards, env={}, gpus=False)))
    if boot.limit_s is not None:
        commands.append(POWER_OFF)
    document["runcmd"] = [list(words) for words in commands]
    text = yaml.safe_dump(document, sort_keys=False, width=2**30, allow_unicode=True)
    return f"#cloud-config\n# swath-expires: {boot.expires}\n{text}"


def limit(seconds: int) -> Words:
    """Power off after so long, whatever happens meanwhile.

    At that moment of a boot systemd waits for cloud-init itself: the timer must not be waited for, nor wait for anything.
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


POWER_OFF: Words = ("shutdown", "-h", "now")
START: Words = ("systemctl", "start", "docker")
"""It may not be up yet when cloud-init is at its commands."""
DOCKER = "/etc/swath/docker"
"""Docker's settings."""
SIGN_IN = r"""curl -fsS -H 'Metadata-Flavor: Google' \
http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token \
| sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p' \
| docker --config="$2" login --username oauth2accesstoken --password-stdin "https://$1" """
"""The machine's service account, to a registry of Google's."""


def installation(registry: ContainerRegistry | None) -> tuple[Words, ...]:
    """Docker from Ubuntu's own packages: no other source of packages, no key to fetch."""
    helper = ("amazon-ecr-credential-helper",) if registry is not None and registry.kind == "aws" else ()
    return (
        ("apt-get", "update"),
        ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "docker.io", *helper),
    )


def container(boot: BootPlan) -> Words:
    """The container in the foreground, on the machine's own network."""
    return (
        "docker",
        f"--config={DOCKER}",
        "run",
        "--net=host",
        "--ipc=host",  # torch hands tensors from process to process in shared memory
        *(("--gpus=all",) if boot.gpus else ()),
        *(word for name, value in boot.env.items() for word in ("-e", f"{name}={value}")),
        boot.image,
        *boot.command,
    )
