"""Results, outputs, loads, staging and checkpoints on simulated stores that fail, lose answers, cut and change what they send."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pytest

from swath.collection.inventory import read_inventory
from swath.engine.store import ResultStore, StoreLimits
from swath.engine.store_files import StoreFiles
from swath.engine.stored_result import DamagedResult
from swath.errors import CredentialsError, ImageryError, TaskFailed
from swath.imagery.remote.range_request import fetch_range
from swath.imagery.remote.request_policy import RequestPolicy
from swath.maps.class_map import open_class_map
from swath.models.weights_cache import DownloadLimits, local_copy
from swath.runner.staging import Bucket, StagingLimits
from swath.storage.bucket_lock import BucketLockLimits, bucket_locked, lock_url, read_holder
from swath.storage.objects import list_objects
from swath.storage.publication import Published, Staging, is_intact
from swath.storage.upload import Upload
from swath.training.checkpoints import Checkpoints
from tests.storage.store_proxy import StoreFaults, StoreProxy, faulty_store

WRITES = frozenset({"PUT", "POST"})
LARGE = 17 << 20
"""More than a part of an upload."""


@pytest.fixture(scope="module", params=["s3", "gs"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProxy]:
    scratch = tmp_path_factory.mktemp("store")
    with faulty_store(request.param, scratch, seed=8) as (proxy, environment), pytest.MonkeyPatch.context() as patch:
        variables = {**environment, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false", "AWS_MAX_ATTEMPTS": "2"}
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        patch.setattr("tempfile.tempdir", str(scratch))
        # gcsfs itself waits seconds between its attempts.
        real = asyncio.sleep
        patch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=lambda seconds: real(seconds / 100)))
        patch.setattr("swath.storage.attempts.time", SimpleNamespace(sleep=lambda seconds: None))
        fsspec.get_filesystem_class(request.param).clear_instance_cache()
        yield proxy
        fsspec.get_filesystem_class(request.param).clear_instance_cache()


@pytest.fixture
def store(served: StoreProxy) -> Iterator[StoreProxy]:
    """A store without faults; a test sets those that it needs."""
    served.happened.clear()
    yield served
    served.faults = StoreFaults()


def publish(target: str, **files: bytes) -> Published:
    """Publish small files, and `map.tif` as a file that is sent while it is made."""
    with Staging(target, "run") as staging:
        for name, data in files.items():
            if name == "map":
                upload: Any = staging.destination("map.tif")
                upload.send([data])
            else:
                (staging.folder / f"{name}.json").write_bytes(data)
        return staging.publish({})


def content(url: str) -> bytes:
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.invalidate_cache()
    return bytes(filesystem.cat_file(path))


FAULTS = {
    "half-of-the-puts-fail": StoreFaults(fail=0.5, methods=WRITES),
    "requests-fail": StoreFaults(fail=0.25),
    "answers-are-lost": StoreFaults(lose=0.4),
    "answers-are-cut": StoreFaults(cut=0.3),
    "pages-of-a-proxy": StoreFaults(html=0.2),
    "answers-are-late": StoreFaults(delay=0.3),
    "all-of-it": StoreFaults(fail=0.08, lose=0.08, cut=0.08, html=0.08, delay=0.08),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("size", [1000, LARGE], ids=["small", "large"])
def test_what_is_published_is_whole_and_nothing_else_is_left(store: StoreProxy, fault: str, size: int) -> None:
    target = f"{store.kind}://pixels/{fault}-{size}/out"
    map_file = os.urandom(1000) * (size // 1000)
    store.faults = FAULTS[fault]
    published = publish(target, item=b"{}", sheet=b'{"sheet": 1}', map=map_file)
    assert is_intact(published)
    store.faults = StoreFaults()
    assert store.happened
    assert content(f"{target}/map.tif") == map_file
    assert content(f"{target}/sheet.json") == b'{"sheet": 1}'
    assert sorted(path.rpartition("/")[2] for path in list_objects(target)) == ["item.json", "map.tif", "sheet.json"]


def test_uploads_whose_answers_are_lost_succeed(store: StoreProxy) -> None:
    """Five of twelve failed: an upload in parts that is sent again is longer than its file, or unknown."""
    store.faults = StoreFaults(lose=0.3, methods=WRITES)
    data = os.urandom(1 << 20)
    for number in range(12):
        upload = Upload(f"{store.kind}://pixels/lost/{number}")
        upload.send([data] * 17)
        assert upload.size == LARGE
    assert store.happened["lose"] >= 5
    store.faults = StoreFaults()
    assert all(content(f"{store.kind}://pixels/lost/{number}") == data * 17 for number in range(12))
    assert len(list_objects(f"{store.kind}://pixels/lost")) == 12


def test_an_upload_that_is_given_up_leaves_no_part(store: StoreProxy) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(LARGE)
        yield bytes(LARGE)
        raise RuntimeError("the third tile")

    with pytest.raises(RuntimeError, match="the third tile"):
        Upload(f"{store.kind}://pixels/given-up/map.tif").send(chunks())
    assert list_objects(f"{store.kind}://pixels/given-up") == {}
    if store.kind == "s3":
        filesystem = fsspec.filesystem("s3")
        assert [each for each in filesystem.list_multipart_uploads("pixels") if "given-up" in each["Key"]] == []


def test_many_parts_become_one_object(store: StoreProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Google Storage of more parts than are composed in one request; S3 has no parts of less than 5 MB."""
    part = {"s3": 5 << 20, "gs": 1000}[store.kind]
    monkeypatch.setattr("swath.storage.upload.PART_BYTES", part)
    pieces = [os.urandom(part // 2) for _ in range({"s3": 7, "gs": 141}[store.kind])]
    store.faults = StoreFaults(lose=0.2)
    Upload(f"{store.kind}://pixels/parts/map.tif").send(pieces)
    store.faults = StoreFaults()
    assert content(f"{store.kind}://pixels/parts/map.tif") == b"".join(pieces)
    assert len(list_objects(f"{store.kind}://pixels/parts")) == 1


def test_a_store_that_fails_for_good_is_named_and_the_old_output_stays(store: StoreProxy) -> None:
    target = f"{store.kind}://pixels/dead/out"
    publish(target, item=b'{"old": 1}')
    store.faults = StoreFaults(fail=1.0, methods=WRITES)
    with pytest.raises(TaskFailed, match=rf"{target}/item\.json could not be written: "):
        publish(target, item=b'{"new": 1}')
    store.faults = StoreFaults()
    assert content(f"{target}/item.json") == b'{"old": 1}'


def test_a_page_of_a_proxy_is_named(store: StoreProxy) -> None:
    target = f"{store.kind}://pixels/html/out"
    store.faults = StoreFaults(html=1.0, methods=WRITES)
    with pytest.raises(TaskFailed, match=r"item\.json could not be written: an HTML page came instead of an answer"):
        publish(target, item=b"{}")
    store.faults = StoreFaults()
    publish(target, item=b"{}")
    store.faults = StoreFaults(html=1.0)
    with pytest.raises(ImageryError, match="an HTML page came instead of an answer"):
        open_class_map(target)
    with pytest.raises(ImageryError, match="an HTML page came instead of an answer"):
        read_inventory(target)


def test_an_expired_token_is_exit_4_wherever_it_is_noticed(store: StoreProxy, tmp_path: Path) -> None:
    target = f"{store.kind}://pixels/expired"
    results = ResultStore(f"{target}/results")
    kept = results.put("x" * 10_000)
    file = tmp_path / "scene.tif"
    file.write_bytes(b"pixels")
    store.faults = StoreFaults(expired=True)
    for request in (
        lambda: publish(f"{target}/out", item=b"{}"),
        lambda: Upload(f"{target}/map.tif").send([bytes(LARGE), bytes(LARGE)]),
        lambda: ResultStore(f"{target}/results").get(kept),
        lambda: results.put("y" * 10_000),
        lambda: Bucket(f"{target}/stage", [], lambda text: None, StagingLimits()).stage(file),
        lambda: bucket_locked(f"{target}/out", "run").__enter__(),
    ):
        with pytest.raises(CredentialsError) as caught:
            request()
        assert caught.value.exit_code == 4


def test_results_come_back_as_they_were(store: StoreProxy) -> None:
    root = f"{store.kind}://pixels/results"
    limits = StoreLimits(cache_bytes=0)
    store.faults = StoreFaults(fail=0.08, lose=0.08, cut=0.08, corrupt=0.15, html=0.08)
    kept = [ResultStore(root, limits=limits).put(np.full(5000, number)) for number in range(15)]
    found = [int(ResultStore(root, limits=limits).get(stored)[0]) for stored in kept]
    assert found == list(range(15))
    assert store.happened["corrupt"]
    assert len(StoreFiles(root).files) == 15
    store.faults = StoreFaults(corrupt=1.0)
    with pytest.raises(DamagedResult, match=r"its (signature|checksum) does not fit"):
        ResultStore(root, limits=limits).get(kept[0])


def test_staged_files_come_back_as_they_were(store: StoreProxy, tmp_path: Path) -> None:
    file = tmp_path / "weights.onnx"
    file.write_bytes(random.Random(3).randbytes(100_000))
    Path(f"{file}.data").write_bytes(random.Random(4).randbytes(1000) * (LARGE // 1000))
    store.faults = FAULTS["all-of-it"]
    staged = Bucket(f"{store.kind}://pixels/stage", [], lambda text: None, StagingLimits()).stage(file)
    fetched = Path(local_copy(staged[0].url, DownloadLimits(tries=10, first_pause_s=0.0)))
    assert fetched.read_bytes() == file.read_bytes()
    assert Path(f"{fetched}.data").read_bytes() == Path(f"{file}.data").read_bytes()
    store.faults = StoreFaults()
    assert len(list_objects(f"{store.kind}://pixels/stage")) == 2


def test_ranges_of_imagery_are_asked_for_again(store: StoreProxy) -> None:
    data = os.urandom(100_000)
    Upload(f"{store.kind}://pixels/scene.tif").send([data])
    store.faults = StoreFaults(fail=0.15, lose=0.15, cut=0.15)
    policy = RequestPolicy(tries=12, first_wait_s=0.0)
    for start in range(0, 100_000, 10_000):
        href = f"{store.kind}://pixels/scene.tif"
        assert fetch_range(href, start, start + 10_000, policy).data == data[start : start + 10_000]
    assert set(store.happened) == {"fail", "lose", "cut"}


def test_a_lock_is_taken_and_removed_through_faults(store: StoreProxy) -> None:
    target = f"{store.kind}://pixels/locked/out"
    store.faults = StoreFaults(fail=0.1, lose=0.2, cut=0.1, html=0.1)
    for number in range(5):
        with bucket_locked(target, f"run{number}", BucketLockLimits(period_s=1000)):
            assert read_holder(lock_url(target)).run == f"run{number}"  # type: ignore[union-attr]
    store.faults = StoreFaults()
    assert read_holder(lock_url(target)) is None


def test_checkpoints_outlive_their_machine(store: StoreProxy, tmp_path: Path) -> None:
    to = f"{store.kind}://pixels/training"
    first = Checkpoints.of(to, "model", "depends", temp=tmp_path / "one")
    first.folder.mkdir(parents=True)
    (first.folder / "last.ckpt").write_bytes(b"weights" * 1000)
    store.faults = FAULTS["all-of-it"]
    first.upload("last.ckpt")
    second = Checkpoints.of(to, "model", "depends", temp=tmp_path / "two")
    second.folder.parent.mkdir()
    second.download()
    assert (second.folder / "last.ckpt").read_bytes() == b"weights" * 1000
    second.remove()
    store.faults = StoreFaults()
    assert list_objects(f"{to}/.model") == {}


def test_the_same_seed_gives_the_same_faults(store: StoreProxy) -> None:
    drawn = []
    for _ in range(2):
        other = StoreProxy(store.kind, store.upstream, seed=3, faults=StoreFaults(fail=0.3, cut=0.3))
        drawn.append([other.fault("GET", f"/pixels/{number % 4}") for number in range(40)])
    assert drawn[0] == drawn[1]
    assert {"", "fail", "cut"} == set(drawn[0])
