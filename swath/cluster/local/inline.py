"""The cluster for `cluster: inline`: calls run in this process, one after the other."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from swath.cluster.contract import RunningCluster
from swath.cluster.workers import allocator
from swath.engine.call import OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.executors.inline import InlineExecutor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore


class Inline:
    """This process."""

    kind = "inline"
    workers = 1
    address = ""

    def __enter__(self) -> Self:
        allocator.keep_pages()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was started."""

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        return InlineExecutor(on_output, stop)

    def check_store(self, store: ResultStore) -> None:
        """Calls run in this process."""


_: type[RunningCluster] = Inline
