"""Files that are staged in simulated buckets: whole, once, and named by what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest

from swath.engine.store import ResultStore
from swath.engine.store_files import StoreFiles
from swath.engine.stored_result import StoredResult
from swath.errors import InfrastructureError, UsageError
from swath.models.weights_cache import local_copy
from swath.runner import staging
from swath.runner.staging import Bucket, StagingLimits, TransferProgress
from swath.storage.filesystem import filesystem_and_path
from tests.imagery.servers import simulated_gs, simulated_s3


@pytest.fixture(scope="module", params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a bucket, with the environment that leads there."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "here").write_text("a bucket is there when something is in it")
    scratch = tmp_path_factory.mktemp("scratch")
    simulated = simulated_s3(folder) if request.param == "s3" else simulated_gs(folder, scratch / "gs")
    with simulated as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        patch.setattr("tempfile.tempdir", str(scratch))
        patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        fsspec.get_filesystem_class(request.param).clear_instance_cache()
        yield f"{request.param}://pixels"
        fsspec.get_filesystem_class(request.param).clear_instance_cache()


def bucket_at(url: str) -> Bucket:
    """A bucket that says nothing."""
    return Bucket(url, [], lambda text: None, StagingLimits())


def test_progress_says_the_whole_first_then_what_is_there_without_what_was_given_up() -> None:
    lines: list[str] = []
    progress = TransferProgress(2, 3000, "s3://b/stage", lines.append, every_s=0)
    given_up = progress.counted(iter([b"x" * 1000, b"x" * 1000]))
    next(given_up)
    given_up.close()
    for _ in progress.counted(iter([b"x" * 2000])):
        pass
    progress.add(0, files=1)
    assert lines[0] == "staging 2 files, 3,000 bytes, below s3://b/stage"
    assert lines[-1] == "staging: 1 of 2 files, 2,000 of 3,000 bytes"
    assert "staging: 0 of 2 files, 0 of 3,000 bytes" in lines


def test_a_file_is_staged_once_and_comes_back_as_it_was(bucket: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.onnx"
    file.write_bytes(b"a" * 100_000)
    Path(f"{file}.data").write_bytes(b"b" * 50_000)
    first = bucket_at(f"{bucket}/stage").stage(file)
    again = bucket_at(f"{bucket}/stage").stage(file)
    assert [each.copied for each in first] == [True, True]
    assert [each.copied for each in again] == [False, False]
    assert [each.url for each in first] == [each.url for each in again]
    fetched = Path(local_copy(first[0].url))
    assert fetched.read_bytes() == file.read_bytes()
    assert Path(f"{fetched}.data").read_bytes() == b"b" * 50_000
    assert local_copy(first[0].url) == str(fetched), "fetched once per version"


def test_an_object_that_was_cut_is_not_taken_for_the_file(bucket: str, tmp_path: Path) -> None:
    file = tmp_path / "scene.tif"
    file.write_bytes(b"pixels" * 1000)
    name = hashlib.sha256(file.read_bytes()).hexdigest()
    files, place = filesystem_and_path(f"{bucket}/stage/{name}/scene.tif")
    files.pipe_file(place, b"pixels")
    (copy,) = bucket_at(f"{bucket}/stage").stage(file)
    assert copy.copied
    files.invalidate_cache()
    assert files.cat_file(place) == file.read_bytes()


def test_a_file_that_changes_on_its_way_leaves_nothing_in_the_bucket(bucket: str, tmp_path: Path) -> None:
    file = tmp_path / "growing.tif"
    file.write_bytes(b"more" * 1000)
    url = f"{bucket}/stage/other/growing.tif"
    with pytest.raises(UsageError, match="changed while it was copied"):
        bucket_at(f"{bucket}/stage").copy(file, url, hashlib.sha256(b"less").hexdigest())
    files, place = filesystem_and_path(url)
    files.invalidate_cache()
    assert not files.exists(place)


def test_results_in_a_bucket_are_put_got_listed_and_removed(bucket: str) -> None:
    store = ResultStore(f"{bucket}/results")
    value = bytes(range(256)) * 100
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:  # the same content from many workers at once
        kept = set(pool.map(lambda _: ResultStore(f"{bucket}/results").put(value), range(16)))
    (stored,) = kept
    assert store.has(stored)
    assert ResultStore(f"{bucket}/results").get(stored) == value
    assert not store.has(StoredResult("00" * 16, 9000))
    listed = StoreFiles(f"{bucket}/results")
    assert list(listed.files) == [stored.digest]
    listed.remove(listed.files[stored.digest].path)
    assert not store.has(stored)


def test_half_a_result_is_no_result(bucket: str) -> None:
    store = ResultStore(f"{bucket}/cut")
    stored = store.put(bytes(range(256)) * 100)
    files, place = filesystem_and_path(f"{bucket}/cut/{stored.digest[:2]}/{stored.digest[2:]}")
    files.pipe_file(place, files.cat_file(place)[:1000])
    assert not store.has(stored)
    store.put(bytes(range(256)) * 100)
    assert store.has(stored)


class Flaky(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]  # fsspec ships no types
    """A store that refuses every other put: before it took effect, or after."""

    protocol = "flaky"
    store: dict[str, Any] = {}  # noqa: RUF012 - as its base class
    puts = 0

    def pipe_file(self, path: str, value: bytes, **more: Any) -> None:
        Flaky.puts += 1
        if Flaky.puts % 4 == 1:
            raise OSError("503 Slow Down")
        super().pipe_file(path, value, **more)
        if Flaky.puts % 4 == 3:
            raise OSError("the answer was lost")

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("flaky://").strip("/")


def test_half_of_the_puts_failing_loses_no_result() -> None:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    store = ResultStore("flaky://bucket/results")
    kept = {number: store.put(bytes([number]) * 10_000) for number in range(8)}
    assert Flaky.puts > 12
    assert all(ResultStore(store.root).get(stored) == bytes([number]) * 10_000 for number, stored in kept.items())


def test_a_bucket_that_takes_nothing_is_named_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Flaky):
        protocol = "full"

        def open(self, path: str, mode: str = "rb", **more: Any) -> Any:
            raise OSError("503 Slow Down")

    fsspec.register_implementation("full", Full, clobber=True)
    file = tmp_path / "a.tif"
    file.write_bytes(b"x")
    with pytest.raises(InfrastructureError, match=r"a\.tif could not be staged as full://b/.*503 Slow Down"):
        bucket_at("full://b").stage(file)


def test_what_cannot_be_staged_is_named_with_its_field(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a.tif.msk").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"input: .* is a folder"):
        staging.files_of(str(tmp_path / "folder"), ("input",))
    with pytest.raises(UsageError, match=r"input: 2 files match"):
        staging.files_of(str(tmp_path / "*.tif"), ("input",))
    assert [each.name for each in staging.files_of(str(tmp_path / "*.tif"), ("paths", 0))] == ["a.tif", "b.tif"]
    with pytest.raises(UsageError, match=r"a\.tif\.msk belongs to it"):
        bucket_at("s3://b").stage(tmp_path / "a.tif")


def test_files_of_one_band_each_are_not_staged(tmp_path: Path) -> None:
    (tmp_path / "a_B04.tif").touch()
    with pytest.raises(UsageError, match="names files of one band each, which are not staged"):
        staging.files_of(str(tmp_path / "*_{band}.tif"), ("imagery", "paths", 0))


def test_a_catalogue_on_this_machine_may_name_pixels_elsewhere_only(shared: Path) -> None:
    from pipelines.predict import Predict
    from swath.spec.clusters.cloud import GcpCluster
    from swath.spec.fields.imagery import StacImagery
    from swath.spec.fields.model import ModelRef
    from swath.spec.fields.output import Output

    item = shared / "data/stac/S2A_29RKH_as_28N_derived/S2A_29RKH_as_28N_derived.json"
    spec = Predict(
        imagery=StacImagery(catalog=str(item)), model=ModelRef(path="s3://b/m.pt2"), output=Output(to="s3://b/out"),
        cluster=GcpCluster(kind="gcp", project="maps-1", zone="europe-west4-a", image="swath"),
    )  # fmt: skip
    loaded: Any = SimpleNamespace(spec=spec, specs=(spec,))
    with pytest.raises(UsageError, match=r"imagery\.catalog: asset .* is on this machine"):
        staging.staged(loaded)


def test_the_plan_counts_what_is_staged_and_nothing_where_workers_share_the_disk(tmp_path: Path) -> None:
    from pipelines.predict import Predict
    from swath.spec.clusters.cloud import GcpCluster
    from swath.spec.clusters.cluster import LocalCluster
    from swath.spec.fields.imagery import FilesImagery
    from swath.spec.fields.model import ModelRef
    from swath.spec.fields.output import Output

    (tmp_path / "a.tif").write_bytes(b"x" * 1000)
    (tmp_path / "m.pt2").write_bytes(b"x" * 200)
    spec = Predict(
        imagery=FilesImagery(source="files", paths=[str(tmp_path / "*.tif")]), model=ModelRef(path=str(tmp_path / "m.pt2")),
        output=Output(to="s3://b/out"), stage="s3://bucket/stage",
        cluster=GcpCluster(kind="gcp", project="maps-1", zone="europe-west4-a", image="swath"),
    )  # fmt: skip
    loaded: Any = SimpleNamespace(spec=spec, specs=(spec, spec))
    assert staging.plan(loaded) == {"staged_files": 2, "staged_bytes": 1200}
    here = spec.model_copy(update={"cluster": LocalCluster()})
    local: Any = SimpleNamespace(spec=here, specs=(here,))
    assert staging.plan(local) == {}
