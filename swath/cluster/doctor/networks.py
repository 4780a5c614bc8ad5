"""Ranges of IP addresses in firewall rules."""

from __future__ import annotations

from ipaddress import ip_network

ANYWHERE = ("0.0.0.0/0", "::/0")
"""All addresses."""
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


def within(inner: str, outer: str) -> bool:
    """Whether a network, in CIDR notation, is part of another one."""
    a, b = ip_network(inner, strict=False), ip_network(outer, strict=False)
    return a.version == b.version and a.subnet_of(b)  # type: ignore[arg-type]


def is_private(network: str) -> bool:
    """Whether a network, in CIDR notation, is one of private addresses (RFC 1918, RFC 4193)."""
    return any(within(network, each) for each in PRIVATE)
