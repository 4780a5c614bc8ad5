"""What a network is made of beside its settings: the code of its module and its initial weights, by their digests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.errors import ModelError
from swath.models.load import weights_sha256
from swath.models.weights_cache import local_copy
from swath.module_code import module_digest

if TYPE_CHECKING:
    from swath.spec.fields.network import Network


@dataclass(frozen=True)
class NetworkSource:
    """Digests of the files that a network is made of; empty for a network that needs none."""

    code: str = ""
    """Of the module of `module:factory` and the modules of the project that it imports, see swath.module_code."""
    weights: str = ""
    """SHA-256 of the file of initial weights."""

    @classmethod
    def of(cls, network: Network) -> NetworkSource:
        """As the files are now. Raises ModelError when the weights cannot be read."""
        kind, _, name = network.name.partition(":")
        code = module_digest(kind) if name and kind not in ("smp", "timm") else ""
        return cls(code, "" if network.weights is None else _sha256(network.weights))

    def check_weights(self, href: str) -> None:
        """Raise ModelError when the initial weights are others by now."""
        if self.weights and _sha256(href) != self.weights:
            raise ModelError(f"{href}: the weights have changed since the run began", remedy="start the run again")


NO_SOURCE = NetworkSource()
"""Of a network of swath itself with random weights."""


def _sha256(href: str) -> str:
    return weights_sha256(local_copy(href))
