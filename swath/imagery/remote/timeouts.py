"""Time limits of one request to a server or a store."""

from __future__ import annotations

CONNECT_S = 10
STALL_S = 20
"""A transfer that is silent for this long is given up."""
REQUEST_S = 120
"""Longest time for one request, whatever trickles in."""
