"""A machine that a run created in a cloud, and the labels by which it is found again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

CloudKind: TypeAlias = Literal["aws", "gcp", "kubernetes"]
CLOUD_KINDS: tuple[CloudKind, ...] = ("aws", "gcp", "kubernetes")

LABEL_LENGTH = 63
"""Characters of a label: Compute Engine's limit, the shortest of all clouds."""


def run_label(run: str) -> str:
    """A run id as a label that every cloud accepts: lower-case letters, digits, `-` and `_`. Only its end, when it is too long."""
    return re.sub(r"[^a-z0-9_-]", "-", run.lower())[-LABEL_LENGTH:]


@dataclass(frozen=True)
class Machine:
    """A machine that is still paid for. On Kubernetes: a resource that a run created."""

    id: str
    """The cloud's own identifier."""
    name: str
    run: str
    """Label of the run that created it."""
    role: str
    """`scheduler` or `worker`; `cluster` for the resource of Dask's operator on Kubernetes."""
    expires: float
    """Time after which it is not needed any more, in seconds since 1970; 0 when its label cannot be read."""
    place: str
    """Region (AWS), zone (Google Cloud) or namespace (Kubernetes)."""
    state: str
    """As the cloud reports it, such as `running`."""
    type: str = ""
    """Machine type; the kind of the resource on Kubernetes."""
    spot: bool = False
    """Whether it was launched as a spot machine; known to who launched it."""
    zone: str = ""
    """Its zone, where `place` is none (AWS)."""


def console_tail(console: str, lines: int) -> str:
    """The last non-empty lines of a console output, without control characters and colour codes."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console)
    printable = ["".join(char for char in line if char.isprintable() or char == "\t") for line in plain.splitlines()]
    return "\n".join([line.rstrip() for line in printable if line.strip()][-lines:])
