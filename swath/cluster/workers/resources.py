"""Resources of workers, and the check that some worker can ever run a call: Dask itself would wait for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from swath.errors import InfrastructureError

CPU = "cpu"
"""Threads of a worker. Every worker has this resource."""
MEMORY = "memory"
"""Bytes of a worker's memory limit. Every worker has this resource."""


def fits(requested: Mapping[str, float], worker: Mapping[str, float]) -> bool:
    """Whether an idle worker with these resources could run a call that requests some."""
    return all(amount <= worker.get(name, 0) for name, amount in requested.items())


def check(requested: Mapping[str, float], workers: Iterable[Mapping[str, float]]) -> None:
    """Raise InfrastructureError when none of these workers could ever run a call that requests resources. `workers` has the
    resources of each worker that is up or may come."""
    different = _distinct(workers)
    if not requested or any(fits(requested, worker) for worker in different):
        return
    available = "; others offer ".join(format_resources(worker) for worker in different) or "nothing"
    raise InfrastructureError(
        f"a call asks for {format_resources(requested)}, but workers offer {available}",
        remedy=_remedy(requested, different),
    )


def format_resources(resources: Mapping[str, float]) -> str:
    """Resources as text, such as `cpu 1, gpu 1, memory 4.2 GB`."""
    return ", ".join(
        f"{name} {amount / 1e9:.3g} GB" if name == MEMORY else f"{name} {amount:g}"
        for name, amount in sorted(resources.items())
    )


def _remedy(requested: Mapping[str, float], workers: list[Mapping[str, float]]) -> str:
    missing = [name for name, amount in requested.items() if all(amount > worker.get(name, 0) for worker in workers)]
    remedies = {
        CPU: "ask for fewer cpu (a local worker has one thread)",
        MEMORY: "give workers more with cluster.memory_gb",
    }
    found = [remedies[name] for name in missing if name in remedies]
    if custom := sorted(set(missing) - set(remedies)):
        found.append(
            f"say what each worker has with `cluster: {{resources: {{{custom[0]}: ...}}}}`, or start workers with `--resources`"
        )
    return "; ".join(found) or "no single worker has all of it: ask for less at once"


def _distinct(workers: Iterable[Mapping[str, float]]) -> list[Mapping[str, float]]:
    distinct: list[Mapping[str, float]] = []
    for worker in workers:
        if worker not in distinct:
            distinct.append(worker)
    return distinct
