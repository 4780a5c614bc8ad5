"""Tasks and a pipeline that the tests of graphs use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec


class Params(Spec):
    n: int = 3


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task(retries=2, timeout_s=5)
def double(x: int, *, plus: int = 0) -> int:
    return 2 * x + plus


@task
def total(values: Sequence[int]) -> int:
    return sum(values)


@pipeline
def doubled(spec: Params) -> Any:
    """Double some numbers.

    And add them up.
    """
    found = numbers(spec.n)
    return total(double.map(found, plus=1))
