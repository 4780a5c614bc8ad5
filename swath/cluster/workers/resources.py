"""What workers offer, and whether a call's resources can ever be had: Dask itself would wait for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from swath.errors import InfrastructureError

CPU = "cpu"
"""Threads of a worker: always offered."""
MEMORY = "memory"
"""Bytes of a worker's memory limit: always offered."""


def fits(asked: Mapping[str, float], offer: Mapping[str, float]) -> bool:
    """Whether one worker that is idle could take the call."""
    return all(amount <= offer.get(name, 0) for name, amount in asked.items())


def check(asked: Mapping[str, float], offers: Iterable[Mapping[str, float]]) -> None:
    """Raise InfrastructureError when no worker that there is or may come could ever take the call."""
    different = _different(offers)
    if not asked or any(fits(asked, offer) for offer in different):
        return
    has = "; others offer ".join(shown(offer) for offer in different) or "nothing"
    raise InfrastructureError(
        f"a call asks for {shown(asked)}, but workers offer {has}", remedy=_remedy(asked, different)
    )


def shown(resources: Mapping[str, float]) -> str:
    """Resources in words, such as `cpu 1, gpu 1, memory 4.2 GB`."""
    return ", ".join(
        f"{name} {amount / 1e9:.3g} GB" if name == MEMORY else f"{name} {amount:g}"
        for name, amount in sorted(resources.items())
    )


def _remedy(asked: Mapping[str, float], offers: list[Mapping[str, float]]) -> str:
    short = [name for name, amount in asked.items() if all(amount > offer.get(name, 0) for offer in offers)]
    ways = {
        CPU: "ask for fewer cpu (a local worker has one thread)",
        MEMORY: "give workers more with cluster.memory_gb",
    }
    own = sorted(set(short) - set(ways))
    said = [ways[name] for name in short if name in ways]
    if own:
        said.append(
            f"say what each worker has with `cluster: {{resources: {{{own[0]}: ...}}}}`, or start workers with `--resources`"
        )
    return "; ".join(said) or "no single worker has all of it: ask for less at once"


def _different(offers: Iterable[Mapping[str, float]]) -> list[Mapping[str, float]]:
    found: list[Mapping[str, float]] = []
    for offer in offers:
        if offer not in found:
            found.append(offer)
    return found
