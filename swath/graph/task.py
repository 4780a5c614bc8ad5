"""Tasks: plain Python functions with a policy. A call inside a pipeline adds a node to the graph; elsewhere it runs at once."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, overload

from swath.code_shipping import project_code_id
from swath.errors import PipelineError
from swath.graph.builder import current_builder
from swath.version import __version__

RESERVED_PARAMETERS = frozenset({"when"})
"""Keyword arguments that belong to the graph, so a task cannot have a parameter of that name."""


@dataclass(frozen=True)
class Policy:
    """How calls of a task are executed: retries, timeout, resources, caching."""

    retries: int = 0
    """How often a failed call is tried again. Errors that say that they are not retryable are not."""
    retry_delay_s: float = 1.0
    """Wait before the first retry in seconds; doubles with each, with jitter, up to a minute."""
    timeout_s: float | None = None
    """Timeout of one call in seconds."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """What a call needs of a worker, by Dask resource name, such as {"gpu": 1}. Workers offer `cpu` (threads), `memory` (bytes)
    and the `resources` of their cluster."""
    limit: int | None = None
    """How many calls of a run may run at once, on all workers together, such as of a task that queries a slow server."""
    version: str = ""
    """Part of the call's key: results of another version are not reused."""
    cache: bool = True
    """Whether the result of a finished call is reused. False for tasks that read the outside world: they run in every run, and
    tasks that depend on them run again only when what they return has changed."""
    valid: Callable[[Any], bool] | None = None
    """Called with the result of a finished call before it is reused, such as to check that the files that it names still exist."""
    on_client: bool = False
    """Whether calls run in the client's process. For quick checks before a cluster is started, and for what needs the client's
    machine, such as writing to a local folder."""
    light: bool = False
    """Whether each call takes seconds at most and little memory, so that with `cluster: auto` a run may begin with such calls in the
    client's process, where no other worker takes over if one crashes."""


class Task:
    """A function with a policy. Make one with `@task`."""

    def __init__(self, fn: Callable[..., Any], name: str, policy: Policy, *, takes_skipped: bool = False) -> None:
        self.fn = fn
        self.name = name
        self.policy = policy
        self.takes_skipped = takes_skipped
        """Whether it runs although some of its inputs were skipped; these are `swath.SKIPPED`."""
        functools.update_wrapper(self, fn)

    def __call__(self, *args: Any, when: Any = True, **kwargs: Any) -> Any:
        """One call. `when` may be the result of another call: the call is skipped when that is false at run time."""
        builder = current_builder()
        if builder is None:
            return self.fn(*args, **kwargs)
        self._check(args, kwargs)
        return builder.add(self, args, kwargs, when=when, mapped=False)

    def map(self, *args: Any, when: Any = True, **kwargs: Any) -> Any:
        """One call per item: positional arguments are sequences of equal length, keyword arguments are the same for all calls."""
        if not args:
            raise PipelineError(f"{self.name}.map() needs at least one positional argument to map over")
        builder = current_builder()
        if builder is None:
            return [self.fn(*items, **kwargs) for items in zip(*args, strict=True)]
        self._check(args, kwargs)
        return builder.add(self, args, kwargs, when=when, mapped=True)

    def options(self, *, name: str | None = None, **policy: Any) -> Task:
        """The same task under another name or with another policy, such as `fetch.options(retries=5)`."""
        try:
            changed = replace(self.policy, **policy)
        except TypeError as error:
            raise PipelineError(f"{self.name}.options(): {error}") from None
        return Task(self.fn, name or self.name, changed, takes_skipped=self.takes_skipped)

    @functools.cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.fn)

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise PipelineError(f"{self.name}(): {error}") from None

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # What workers can import is pickled by name: swath's own code and a project's. Anything else is pickled by value
        # (cloudpickle pickles the function).
        module = self.fn.__module__ or ""
        code = __version__ if module.partition(".")[0] == "swath" else project_code_id(module)
        if code is not None and self._has_its_name(module):
            return (_by_name, (module, self.fn.__qualname__, self.name, self.policy, code))
        return (_by_value, (self.fn, self.name, self.policy, self.takes_skipped))

    def _has_its_name(self, module: str) -> bool:
        """Whether a task of the same function is what its name in its module stands for."""
        try:
            found = functools.reduce(getattr, self.fn.__qualname__.split("."), sys.modules[module])
        except (AttributeError, KeyError):
            return False
        return isinstance(found, Task) and found.fn is self.fn


def _by_name(module: str, qualname: str, name: str, policy: Policy, code: str) -> Task:
    # `code` is not used here: it makes pickles of the same name in different code differ, so that a cache of unpickled values
    # does not mistake one for the other.
    import importlib

    found = functools.reduce(getattr, qualname.split("."), importlib.import_module(module))
    if not isinstance(found, Task):
        raise PipelineError(f"{module}.{qualname} is not a task here: client and workers run different versions")
    return Task(found.fn, name, policy, takes_skipped=found.takes_skipped)


def _by_value(fn: Callable[..., Any], name: str, policy: Policy, takes_skipped: bool) -> Task:
    return Task(fn, name, policy, takes_skipped=takes_skipped)


@overload
def task(fn: Callable[..., Any], /) -> Task: ...
@overload
def task(
    *,
    name: str | None = None,
    retries: int = 0,
    retry_delay_s: float = 1.0,
    timeout_s: float | None = None,
    resources: Mapping[str, float] | None = None,
    limit: int | None = None,
    version: str = "",
    cache: bool = True,
    valid: Callable[[Any], bool] | None = None,
    on_client: bool = False,
    light: bool = False,
    takes_skipped: bool = False,
) -> Callable[[Callable[..., Any]], Task]: ...
def task(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retries: int = 0,
    retry_delay_s: float = 1.0,
    timeout_s: float | None = None,
    resources: Mapping[str, float] | None = None,
    limit: int | None = None,
    version: str = "",
    cache: bool = True,
    valid: Callable[[Any], bool] | None = None,
    on_client: bool = False,
    light: bool = False,
    takes_skipped: bool = False,
) -> Task | Callable[[Callable[..., Any]], Task]:
    """Make a task of a function. The fields are those of `Policy`."""
    policy = Policy(
        retries, retry_delay_s, timeout_s, dict(resources or {}), limit, version, cache, valid, on_client, light
    )
    if limit is not None and limit < 1:
        raise PipelineError(f"limit={limit}: at least one call must be allowed to run")

    def make(function: Callable[..., Any]) -> Task:
        taken = RESERVED_PARAMETERS & set(inspect.signature(function).parameters)
        if taken:
            name_ = min(taken)
            raise PipelineError(
                f"{function.__qualname__}(): the parameter name {name_!r} belongs to swath; choose another"
            )
        return Task(function, name or function.__name__, policy, takes_skipped=takes_skipped)

    return make if fn is None else make(fn)
