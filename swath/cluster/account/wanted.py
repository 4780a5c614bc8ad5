"""What a setup is asked for, on any cloud."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from swath.errors import UsageError

_NAMES = {
    "region": r"[a-z]+(-[a-z]+)*-?\d+",
    "bucket": r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
    "prefix": r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*",
    "network": r"[a-z0-9-]*",
    "client": r"[A-Za-z0-9_.:/@+=,-]*",
}
"""Field -> what it looks like: no character that has a meaning in a policy."""


@dataclass(frozen=True)
class WantedAccount:
    """What is asked for. Raises UsageError for what no cloud could do."""

    region: str
    bucket: str
    prefix: str
    """Folder of the bucket below which everything of the runs is."""
    allow: tuple[str, ...] = ()
    """Addresses, in CIDR notation, from which the scheduler is reached."""
    client: str = ""
    """Who runs pipelines; empty: who signs in."""
    network: str = ""
    """Network of the machines; empty: the default one."""
    removing: bool = False
    with_content: bool = False
    """Whether the bucket is removed with what is in it."""

    def __post_init__(self) -> None:
        for name, pattern in _NAMES.items():
            if not re.fullmatch(pattern, value := getattr(self, name)):
                raise UsageError(f"{value!r} is no name of a {name}", remedy=f"look at --{name}")
        if not self.allow and not self.removing:
            raise UsageError(
                "it is not known from which addresses the scheduler is reached",
                remedy="add --allow ADDRESS/32, the address that this machine has on the internet, as"
                " `curl https://checkip.amazonaws.com` prints it; or the range of a VPN",
            )
        for each in self.allow:
            try:
                ip_network(each)
            except ValueError as error:
                raise UsageError(f"--allow {each}: {error}", remedy="write it as in --allow 192.0.2.7/32") from error

    def settings(self, cluster: dict[str, Any], scheme: str) -> dict[str, Any]:
        """What swath.yaml gets."""
        return {"clusters": {"cloud": cluster}, "results": f"{scheme}://{self.bucket}/{self.prefix}/results"}
