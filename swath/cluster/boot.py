"""How a machine in a cloud boots: cloud-init's document, as a pure function. First its own time limit, then one container.

Commands are lists of words, never text for a shell, so that no environment value can mean anything but itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

Words: TypeAlias = tuple[str, ...]

ENDED = "swath: the container has ended"
"""The last that a machine writes to its console: who waits for it need not wait any longer."""
MOST_BYTES = 16_000
"""EC2 takes no more than 16 KB of user data."""


@dataclass(frozen=True)
class Boot:
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
    before: Sequence[Words] = field(default=())
    """Commands before the container is started."""


def user_data(boot: Boot) -> str:
    """cloud-init's document for a machine."""
    document: dict[str, Any] = {}
    if boot.limit_s is not None:
        document["bootcmd"] = [list(limit(boot.limit_s))]
    commands = [*(INSTALL if boot.install else ()), *boot.before, container(boot), ("echo", ENDED)]
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
        *POWER_OFF,
    )


POWER_OFF: Words = ("shutdown", "-h", "now")
INSTALL: tuple[Words, ...] = (
    ("apt-get", "update"),
    ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "docker.io"),
)
"""Ubuntu's own package: no other source of packages, no key to fetch."""


def container(boot: Boot) -> Words:
    """The container in the foreground, on the machine's own network."""
    return (
        "docker",
        "run",
        "--net=host",
        "--ipc=host",  # torch hands tensors from process to process in shared memory
        *(("--gpus=all",) if boot.gpus else ()),
        *(word for name, value in boot.env.items() for word in ("-e", f"{name}={value}")),
        boot.image,
        *boot.command,
    )
