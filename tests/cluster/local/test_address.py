from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swath.cluster.local import address
from swath.cluster.local.address import Address, AddressLimits, reason_of
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import AddressCluster, TlsFiles
from tests.cluster.conftest import ExternalCluster


def test_an_address_without_a_scheduler_is_exit_code_5() -> None:
    with pytest.raises(InfrastructureError, match="no Dask scheduler answers") as caught:
        Address(AddressCluster(url="tcp://127.0.0.1:9"), AddressLimits(connect_s=1)).__enter__()
    assert caught.value.exit_code == 5


@pytest.mark.slow
def test_an_existing_scheduler_is_used_and_left_running_as_it_was(
    external_cluster: Callable[..., ExternalCluster], tmp_path: Path
) -> None:
    there = external_cluster()
    worker = there.worker("--resources", "gpu=1")
    with Address(AddressCluster(url=there.address)) as cluster:
        assert (cluster.kind, cluster.workers) == ("address", 1)
        cluster.check_store(ResultStore(str(tmp_path / "results")))
        with pytest.raises(InfrastructureError, match="cannot read the results folder"):
            cluster.check_store(Elsewhere(str(tmp_path / "results")))  # type: ignore[arg-type]
        client = cluster.session.client
        cluster.check({"gpu": 1, "cpu": 1, "memory": 1e6})
        assert client.submit(lambda: 1, resources={"gpu": 1, "memory": 1e6}).result(timeout=20) == 1
        with pytest.raises(InfrastructureError, match="asks for cpu 2, but workers offer cpu 1, gpu 1, memory"):
            cluster.check({"cpu": 2})
        assert client.run_on_scheduler(_plugins) == [f"swath-setup-{client.id}"]
    assert worker.poll() is None
    with Address(AddressCluster(url=there.address)) as again:
        assert len(again.session.client.run_on_scheduler(_plugins)) == 1


@pytest.mark.slow
def test_an_encrypted_scheduler_is_reached_with_its_files_and_not_with_others(
    external_cluster: Callable[..., ExternalCluster], tls_files: TlsFiles, tmp_path: Path
) -> None:
    from swath.cluster.workers import tls

    there = external_cluster(tls_files)
    assert there.address.startswith("tls://")
    there.worker()
    with Address(AddressCluster(url=there.address, tls=tls_files)) as cluster:
        assert cluster.session.client.submit(lambda: 1).result(timeout=20) == 1
    other = tls.run_security()
    for name, text in {"ca": other.tls_ca_file, "cert": other.tls_client_cert, "key": other.tls_client_key}.items():
        (tmp_path / f"{name}.pem").write_text(text)
    with pytest.raises(InfrastructureError, match="no Dask scheduler answers") as caught:
        Address(AddressCluster(url=there.address, tls=tls_files), AddressLimits(connect_s=2)).__enter__()
    assert "cluster.tls" in caught.value.remedy
    assert "clock of this machine" in caught.value.remedy


def _plugins(dask_scheduler: object) -> list[str]:
    return [name for name in dask_scheduler.worker_plugins if "swath" in name]


def _elsewhere(root: str) -> object:
    return ResultStore(root + "-on-another-machine")


class Elsewhere:
    """A store that looks to other processes as if it were a folder of another machine."""

    def __init__(self, root: str) -> None:
        self._store = ResultStore(root)
        self.root = root

    def put(self, value: object) -> object:
        return self._store.put(value)

    def __reduce__(self) -> tuple[object, ...]:
        return (_elsewhere, (self.root,))


def test_the_reason_is_the_deepest_of_three_causes_that_says_something_new() -> None:
    def chain(*texts: str) -> OSError:
        first, *others = [OSError(text) for text in texts]
        each: BaseException = first
        for other in others:
            each.__cause__ = other
            each = other
        return first

    assert reason_of(chain("timed out")) == "timed out"
    assert reason_of(chain("timed out", "refused")) == "timed out: refused"
    assert reason_of(chain("timed out after 3 s", "timed out", "", "refused")) == "timed out after 3 s: refused"
    assert reason_of(chain("a", "b", "c", "d", "e")) == "a: d"


def test_an_address_is_left_when_the_run_ends_and_its_limits_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []

    @contextlib.contextmanager
    def step(name: str, value: Any = None) -> Iterator[Any]:
        done.append(name)
        yield value
        done.append(f"end of {name}")

    def wait(count: int, timeout: float) -> None:
        done.append((count, timeout))
        if timeout == 0:
            raise TimeoutError

    session = SimpleNamespace(
        workers=3,
        check_late_joiners=lambda: done.append("late"),
        check_resources=done.append,
        check_store=lambda store: done.append("store"),
        executor=lambda on_output, check: "executor",
    )
    client = SimpleNamespace(wait_for_workers=wait)
    monkeypatch.setattr(address, "connect", lambda url, security, connect_s: step(f"{url} {connect_s:g}", client))
    monkeypatch.setattr(address, "session", lambda client, url: step("session", session))
    spec = AddressCluster(url="tcp://127.0.0.1:9")
    with Address(spec, AddressLimits(connect_s=2, workers_s=5)) as here:
        assert done == ["tcp://127.0.0.1:9 2", (1, 5), "session"]
        assert here.workers == 3
        assert here.executor(lambda *_: None, None) == "executor"  # type: ignore[arg-type]
        here.check({"cpu": 1})
        here.check_store(None)  # type: ignore[arg-type]
        assert done[3:] == ["late", {"cpu": 1}, "store"]
    assert done[6:] == ["end of session", "end of tcp://127.0.0.1:9 2"]
    with pytest.raises(InfrastructureError, match="has no workers"), Address(spec, AddressLimits(workers_s=0)):
        raise AssertionError("there is nobody to compute")
