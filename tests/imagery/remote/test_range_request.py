"""Ranges under a policy: faults of a real server on loopback give the same pixels as without them, or an error that says what."""

from __future__ import annotations

import pickle
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from swath.errors import FailedRead, ImageryError, ReadFailed
from swath.geo import Window
from swath.imagery.remote.range_request import fetch_range
from swath.imagery.remote.request_policy import RequestPolicy
from tests.imagery.remote.client import ALL, QUICK, Client
from tests.imagery.servers import Fault, Web, faulty


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_until_it_serves(server: Web, folder: Path, client: Client, status: int) -> None:
    server.rule = faulty(1, 2, 3, 6, 7, fault=Fault(status))
    client.check(f"{server.address}/a.tif", folder)


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for(server: Web, folder: Path, client: Client, as_date: bool) -> None:
    # A date has whole seconds, so it may name a moment up to one second sooner.
    asked = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True) if as_date else "1"
    server.rule = faulty(3, fault=Fault(429, (("Retry-After", asked),)))
    client.check(f"{server.address}/a.tif", folder)
    assert server.asked[3].at - server.asked[2].at > 0.9


def test_a_server_that_asks_to_come_back_tomorrow_is_not_waited_for(server: Web, client: Client) -> None:
    server.rule = lambda _: Fault(503, (("Retry-After", "86400"),))
    with pytest.raises(ReadFailed, match=r"a\.tif: the server answered 503, and asks to come back in 86400 s"):
        client.scenes(f"{server.address}/a.tif")
    assert len(server.asked) == 1


def test_a_server_that_stays_busy_fails_the_read_which_names_its_pixels(server: Web, client: Client) -> None:
    scenes = client.scenes(f"{server.address}/a.tif?key=canary")
    server.rule = lambda _: Fault(503)
    before = len(server.asked)
    with pytest.raises(
        ReadFailed, match=r"a\.tif: .*503.*4 tries.*rows 10-30, columns 5-45 of the image, 800 pixels"
    ) as bad:
        client.read(scenes, Window(10, 5, 20, 40))
    assert len(server.asked) - before == RequestPolicy().tries == 4
    assert "canary" not in str(bad.value)
    expected = FailedRead(f"{server.address}/a.tif", (10, 30), (5, 45))
    assert pickle.loads(pickle.dumps(bad.value)).failed == expected
    assert expected.pixels == 800


def test_a_cut_transfer_is_fetched_again_in_the_same_read(server: Web, folder: Path, client: Client) -> None:
    server.rule = faulty(1, 4, 5, fault=Fault(cut=True))
    client.check(f"{server.address}/a.tif", folder)


@pytest.mark.parametrize("fault", [Fault(hang=True), Fault(trickle=True)])
def test_a_server_that_hangs_or_trickles_is_given_up_and_asked_again(server: Web, folder: Path, fault: Fault) -> None:
    server.rule = faulty(3, fault=fault)
    start = time.monotonic()
    client = Client(RequestPolicy(stall_s=0.5, request_s=0.7, first_wait_s=0.02))
    client.check(f"{server.address}/a.tif", folder)
    assert time.monotonic() - start < 10


def test_a_missing_file_is_asked_for_once(server: Web, client: Client) -> None:
    with pytest.raises(ImageryError, match=r"none\.tif: the server answered 404") as missing:
        client.scenes(f"{server.address}/none.tif")
    assert len(server.asked) == 1
    assert not missing.value.retryable


def test_one_host_gets_a_bounded_number_of_requests_at_once(server: Web, client: Client) -> None:
    scenes = client.scenes(f"{server.address}/a.tif")
    server.delay_s = 0.02
    threads = [threading.Thread(target=client.read, args=(scenes, ALL)) for _ in range(3 * QUICK.per_host)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 <= server.busiest <= QUICK.per_host == 8


@pytest.mark.parametrize("tries", [1, 2, 4])
def test_requests_are_counted_exactly_and_waits_double_up_to_the_longest(
    server: Web, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    server.rule = lambda _: Fault(503)
    waits: list[float] = []
    monkeypatch.setattr("swath.imagery.remote.range_request.time", SimpleNamespace(sleep=waits.append))
    policy = RequestPolicy(tries=tries, first_wait_s=1.0, max_wait_s=3.0)
    with pytest.raises(ReadFailed, match="the server answered 503"):
        fetch_range(f"{server.address}/a.tif", 0, 100, policy)
    assert len(server.asked) == tries
    assert len(waits) == tries - 1, "none after the last"
    for wait, longest in zip(waits, (1.0, 2.0, 3.0), strict=False):
        assert longest / 2 <= wait <= longest
