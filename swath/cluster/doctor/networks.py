"""Ranges of IP addresses in firewall rules."""

from __future__ import annotations

from ipaddress import ip_network

ANYWHERE = ("0.0.0.0/0", "::/0")
"""All addresses."""


def within(inner: str, outer: str) -> bool:
    """Whether a network, in CIDR notation, is part of another one."""
    a, b = ip_network(inner, strict=False), ip_network(outer, strict=False)
    return a.version == b.version and a.subnet_of(b)  # type: ignore[arg-type]
