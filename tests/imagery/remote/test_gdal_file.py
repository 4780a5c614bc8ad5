"""Remote reads through real servers on loopback: each fault gives the same pixels as without it, or an error that says what."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from swath.errors import CredentialsError, FailedRead, ImageryError, ReadFailed, UsageError
from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.remote import range_cache, range_request, timeouts
from swath.imagery.remote.gdal_file import Opener, RemoteFile, raise_fetch_errors
from swath.imagery.remote.object_store import _explained
from swath.imagery.remote.range_cache import RangeCache, in_bytes
from swath.imagery.remote.response import TransientError
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.spec.fields.imagery import FilesImagery
from tests.imagery.rasters import write
from tests.imagery.servers import Asked, Fault, Web, simulated_gs, simulated_s3, web

ALL = Window(0, 0, 256, 256)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds a.tif, of random pixels in small blocks: 256 kB, so that it takes several requests."""
    folder = tmp_path / "served"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 65535, (2, 256, 256), dtype=np.uint16)
    write(folder / "a.tif", pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    return folder


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(range_request, "FIRST_WAIT_S", 0.02)
    with web(folder) as this:
        yield this


def scenes_of(*hrefs: str) -> Scenes:
    return find(FilesImagery(paths=hrefs), None, None, None)


def check(href: str, folder: Path, name: str = "a.tif") -> None:
    pixels, valid = read_mosaic(scenes_of(href), ALL)
    with rasterio.open(folder / name) as file:
        assert (pixels == file.read()).all()
    assert valid.all()


def later(*numbers: int, fault: Fault) -> Callable[[Asked], Fault | None]:
    """The fault, at requests with these numbers."""
    return lambda asked: fault if asked.number in numbers else None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_until_it_serves(server: Web, folder: Path, status: int) -> None:
    server.rule = later(1, 2, 3, 6, 7, fault=Fault(status))
    check(f"{server.address}/a.tif", folder)


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for(server: Web, folder: Path, as_date: bool) -> None:
    # A date has whole seconds, so it may name a moment up to one second sooner.
    told = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True) if as_date else "1"
    server.rule = later(3, fault=Fault(429, (("Retry-After", told),)))
    check(f"{server.address}/a.tif", folder)
    assert server.asked[3].at - server.asked[2].at > 0.9


def test_a_server_that_asks_to_come_back_tomorrow_is_not_waited_for(server: Web) -> None:
    server.rule = lambda _: Fault(503, (("Retry-After", "86400"),))
    with pytest.raises(ReadFailed, match=r"a\.tif: the server answered 503, and asks to come back in 86400 s"):
        scenes_of(f"{server.address}/a.tif")
    assert len(server.asked) == 1


def test_a_server_that_stays_busy_fails_the_read_which_names_its_pixels(server: Web) -> None:
    scenes = scenes_of(f"{server.address}/a.tif?key=canary")
    server.rule = lambda _: Fault(503)
    before = len(server.asked)
    with pytest.raises(
        ReadFailed, match=r"a\.tif: .*503.*4 tries.*rows 10-30, columns 5-45 of the image, 800 pixels"
    ) as bad:
        read_mosaic(scenes, Window(10, 5, 20, 40))
    assert len(server.asked) - before == range_request.TRIES
    assert "canary" not in str(bad.value)
    expected = FailedRead(f"{server.address}/a.tif", (10, 30), (5, 45))
    assert pickle.loads(pickle.dumps(bad.value)).failed == expected
    assert expected.pixels == 800


def test_a_cut_transfer_is_fetched_again_in_the_same_read(server: Web, folder: Path) -> None:
    server.rule = later(1, 4, 5, fault=Fault(cut=True))
    check(f"{server.address}/a.tif", folder)


@pytest.mark.parametrize("fault", [Fault(hang=True), Fault(trickle=True)])
def test_a_server_that_hangs_or_trickles_is_given_up_and_asked_again(
    server: Web, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(timeouts, "STALL_S", 0.5)
    monkeypatch.setattr(timeouts, "REQUEST_S", 0.7)
    server.rule = later(3, fault=fault)
    start = time.monotonic()
    check(f"{server.address}/a.tif", folder)
    assert time.monotonic() - start < 10


def test_a_missing_file_is_asked_for_once(server: Web) -> None:
    with pytest.raises(ImageryError, match=r"none\.tif: the server answered 404") as missing:
        scenes_of(f"{server.address}/none.tif")
    assert len(server.asked) == 1
    assert not missing.value.retryable


def test_a_server_that_ignores_range_sends_no_gigabytes(server: Web, folder: Path) -> None:
    with (folder / "large.tif").open("wb") as large:
        large.write((folder / "a.tif").read_bytes())
        large.truncate(50_000_000)
    server.rule = lambda _: Fault(whole=True)
    with pytest.raises(ImageryError, match=r"large\.tif: the server ignores Range.*50,000,000 bytes"):
        scenes_of(f"{server.address}/large.tif")
    assert server.sent < 10_000_000  # what fits in the sockets


def test_a_small_file_of_a_server_that_ignores_range_is_read(server: Web, folder: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    write(folder / "small.tif", pixels)
    server.rule = lambda _: Fault(whole=True)
    found, _ = read_mosaic(scenes_of(f"{server.address}/small.tif"), Window(0, 0, 8, 8))
    assert (found == pixels).all()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("content", "nature"),
    [
        (b"<!DOCTYPE html><html><body>Please log in</body></html>" + b" " * 40_000, "an HTML page"),
        (
            b"<VRTDataset rasterXSize='1' rasterYSize='1'><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>",
            "a VRT",
        ),
        (b"", "an empty file"),
    ],
)
def test_what_is_no_raster_is_named(server: Web, folder: Path, content: bytes, nature: str, whole: bool) -> None:
    (folder / "odd.tif").write_bytes(content)
    server.rule = lambda _: Fault(whole=whole)
    with pytest.raises(ImageryError, match=rf"odd\.tif: {nature}"):
        scenes_of(f"{server.address}/odd.tif")


def test_a_truncated_and_a_damaged_file_fail_with_their_address(server: Web, folder: Path) -> None:
    data = bytearray((folder / "a.tif").read_bytes())
    (folder / "short.tif").write_bytes(data[: len(data) // 2])
    data[len(data) // 2 : len(data) // 2 + 40_000] = bytes(40_000)  # whole blocks, and where they begin
    (folder / "damaged.tif").write_bytes(data)
    for name in ("short.tif", "damaged.tif"):
        # Memory that held the right bytes before must not stand in for those that are missing.
        check(f"{server.address}/a.tif", folder)
        with pytest.raises(ReadFailed, match=rf"{name}.*(rows 0-256|opening)"):
            read_mosaic(scenes_of(f"{server.address}/{name}"), ALL)


def test_a_range_beyond_the_end_of_a_file_is_an_error_and_no_stale_memory(server: Web, folder: Path) -> None:
    handle = Opener(RemoteFile(f"{server.address}/a.tif")).open("a.tif")
    size = (folder / "a.tif").stat().st_size
    with (
        pytest.raises(ReadFailed, match=rf"a\.tif: the file is truncated: it ends at byte {size:,}"),
        raise_fetch_errors(),
    ):
        assert handle.get_byte_ranges([size - 10], [30]) == [bytes(30)]


def test_a_file_that_changes_while_it_is_read_fails(server: Web, folder: Path) -> None:
    scenes = scenes_of(f"{server.address}/a.tif")
    read_mosaic(scenes, Window(0, 0, 8, 8))
    os.utime(folder / "a.tif", (1, 1))
    with pytest.raises(ReadFailed, match="changed while it was read"):
        read_mosaic(scenes, Window(200, 200, 8, 8))


def signed_only(good: str) -> Callable[[Asked], Fault | None]:
    return lambda asked: None if asked.query == good else Fault(403)


def test_an_expired_signature_is_renewed_once(server: Web, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = server.address.removeprefix("http://")
    monkeypatch.setenv("SWATH_SIGNERS", f"{host}={server.address}/sign")
    server.rule = signed_only("sig=fresh1")
    check(f"{server.address}/a.tif?sig=old", folder)
    assert server.signed == 1
    server.rule = signed_only("sig=never")
    with pytest.raises(CredentialsError, match="403"):
        check(f"{server.address}/a.tif?sig=old", folder)
    assert server.signed == 2


def test_an_expired_signature_that_nobody_renews_says_what_to_do(server: Web) -> None:
    server.rule = signed_only("sig=fresh")
    with pytest.raises(CredentialsError, match=r"a\.tif: the server answered 403") as refused:
        scenes_of(f"{server.address}/a.tif?sig=canary")
    assert refused.value.exit_code == 4
    assert "SWATH_SIGNERS" in refused.value.remedy
    assert "canary" not in str(refused.value)
    assert len(server.asked) == 1


def test_a_signer_that_sends_another_address_is_not_followed(
    server: Web, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = server.address.removeprefix("http://")
    with web(folder, lambda _: Fault(200, body=b'{"href": "http://127.0.0.1:9/other.tif?sig=x"}')) as liar:
        monkeypatch.setenv("SWATH_SIGNERS", f"{host}={liar.address}/lies")
        server.rule = signed_only("sig=fresh")
        with pytest.raises(CredentialsError, match="could not be signed"):
            scenes_of(f"{server.address}/a.tif")


def test_one_host_gets_a_bounded_number_of_requests_at_once(server: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = scenes_of(f"{server.address}/a.tif")
    server.delay_s = 0.02
    threads = [threading.Thread(target=read_mosaic, args=(scenes, ALL)) for _ in range(3 * range_request.PER_HOST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 <= server.busiest <= range_request.PER_HOST


@pytest.mark.slow
def test_a_process_that_ends_with_open_remote_files_ends_well(server: Web) -> None:
    lines = f"""
        from tests.imagery.remote.test_gdal_file import ALL, read_mosaic, scenes_of
        import threading
        scenes = scenes_of("{server.address}/a.tif")
        read_mosaic(scenes, ALL)
        threading.Thread(target=lambda: (read_mosaic(scenes, ALL), threading.Event().wait(60)), daemon=True).start()
        import time; time.sleep(1)
    """
    assert run(lines).returncode == 0


def run(lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "\n".join(line.strip() for line in lines.strip().splitlines())
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_the_cache_serves_the_next_process_and_forgets_a_changed_file(
    server: Web, folder: Path, tmp_path: Path
) -> None:
    lines = f'from tests.imagery.remote.test_gdal_file import *\ncheck("{server.address}/a.tif?sig=canary", Path("{folder}"))'
    kept = {"SWATH_CACHE": str(tmp_path / "cache")}
    counts = []
    for changed in (False, False, True):
        if changed:
            pixels = np.random.default_rng(1).integers(0, 65535, (2, 256, 256), dtype=np.uint16)
            write(folder / "a.tif", pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
        before = len(server.asked)
        done = run(lines, **kept)
        assert done.returncode == 0, done.stderr
        counts.append(len(server.asked) - before)
    assert counts[1] < counts[0] == counts[2]
    assert all(asked.start == 0 for asked in server.asked[counts[0] : counts[0] + counts[1]])


@pytest.mark.slow
def test_the_cache_stays_bounded_under_several_processes_and_loses_the_oldest_first(tmp_path: Path) -> None:
    lines = f"""
        import os
        from pathlib import Path
        from swath.imagery.remote.range_cache import RangeCache
        cache = RangeCache(Path("{tmp_path}"), 1_000_000)
        for n in range(300): cache.put("http://host/" + str(n), str(os.getpid()), 0, 9, os.urandom(10_000))
        assert cache.get("http://host/299", str(os.getpid()), 0, 9) is not None
    """
    processes = [threading.Thread(target=lambda: done.append(run(lines))) for _ in range(3)]
    done: list[subprocess.CompletedProcess[str]] = []
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.returncode for p in done] == [0, 0, 0], done[0].stderr
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) <= 1_000_000
    cache = RangeCache(tmp_path / "one", 100_000)
    for number in range(40):
        cache.put("http://host/a", "e", number, 9, bytes(5000))
        assert cache.get("http://host/a", "e", 0, 9) is not None
        time.sleep(0.002)
    assert cache.get("http://host/a", "e", 1, 9) is None


def test_a_damaged_cache_entry_is_not_used(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 10**6)
    cache.put("http://host/a", "e", 0, 9, b"123456789")
    (entry,) = [path for path in tmp_path.rglob("??/*") if path.is_file()]
    entry.write_bytes(entry.read_bytes()[:-1] + b"!")
    assert cache.get("http://host/a", "e", 0, 9) is None


def test_sizes_of_the_cache_are_read_as_people_write_them() -> None:
    assert [in_bytes(t) for t in ("1000", "2 GB", "1.5GiB", "3k")] == [1000, 2 * 10**9, 3 * 2**29, 3000]
    with pytest.raises(UsageError, match=range_cache.SIZE):
        in_bytes("lots")


@pytest.fixture
def quiet_cloud(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    def use(environment: dict[str, str]) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return use


@pytest.mark.slow
def test_objects_of_s3_are_read_as_local_files_are(
    folder: Path, quiet_cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulated_s3(folder) as environment:
        quiet_cloud(environment)
        check("s3://pixels/a.tif", folder)
        with pytest.raises(ImageryError, match=r"s3://pixels/none\.tif: no such object"):
            scenes_of("s3://pixels/none.tif")
        with pytest.raises(ImageryError, match="no such object"):
            scenes_of("s3://nobucket/none.tif")


@pytest.mark.slow
def test_objects_of_google_storage_are_read_as_local_files_are(folder: Path, tmp_path: Path, quiet_cloud: Any) -> None:
    with simulated_gs(folder, tmp_path / "gs") as environment:
        quiet_cloud(environment)
        check("gs://pixels/a.tif", folder)
        with pytest.raises(ImageryError, match=r"gs://pixels/none\.tif: no such object"):
            scenes_of("gs://pixels/none.tif")


@pytest.mark.parametrize(("fault", "tries"), [(Fault(503), 4), (Fault(hang=True), 4), (Fault(403), 1), (Fault(404), 1)])
@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_store_that_fails_is_asked_as_often_as_a_web_server(
    server: Web, quiet_cloud: Any, monkeypatch: pytest.MonkeyPatch, fault: Fault, tries: int, kind: str
) -> None:
    monkeypatch.setattr(timeouts, "STALL_S", 0.3)
    quiet_cloud({"AWS_ENDPOINT_URL": server.address, "AWS_NO_SIGN_REQUEST": "YES", "AWS_DEFAULT_REGION": "us-east-1"})
    quiet_cloud({"STORAGE_EMULATOR_HOST": server.address})
    server.rule = lambda _: fault
    bucket = f"b{fault.status}{kind}{server.address.rpartition(':')[2]}"  # stores are kept by bucket
    expected = {403: CredentialsError, 404: ImageryError}.get(fault.status, ReadFailed)
    with pytest.raises(expected, match=r"a\.tif"):
        scenes_of(f"{kind}://{bucket}/a.tif")
    assert len(server.asked) == tries


def test_a_store_s_answer_is_its_status_and_not_a_number_or_word_of_its_text() -> None:
    error = "Error performing GET http://127.0.0.1:41603/credentials/redirect.tif in 1.416ms - "
    told = _explained("s3://credentials/redirect.tif", "s3", f"{error}Server returned non-2xx status code: 503 Busy")
    assert isinstance(told, TransientError)
    assert "503" in str(told)
    assert isinstance(_explained("s3://b/a.tif", "s3", f"{error}HTTP error: operation timed out"), TransientError)
    empty = _explained("s3://b/a.tif", "s3", f"{error}Server returned non-2xx status code: 416 Range Not Satisfiable")
    assert "empty object" in str(empty)


@pytest.mark.parametrize(("driver", "name"), [("JP2OpenJPEG", "a.jp2"), ("JPEG", "a.jpg"), ("PNG", "a.png")])
@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_other_formats_are_read_as_rasterio_reads_them(
    server: Web, folder: Path, driver: str, name: str, remote: bool
) -> None:
    rows, cols = np.mgrid[0:256, 0:256]
    pixels = np.stack([rows, cols, (rows + cols) // 2]).astype(np.uint8)
    options: dict[str, Any] = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    with rasterio.open(
        folder / name, "w", driver=driver, count=3, height=256, width=256, dtype="uint8", **options
    ) as to:
        to.write(pixels)
    found, valid = read_mosaic(scenes_of(f"{server.address}/{name}" if remote else str(folder / name)), ALL)
    with rasterio.open(folder / name) as file:
        assert (found == file.read()).all()
    assert valid.all()
    assert np.abs(found.astype(int) - pixels).max() <= (0 if driver != "JPEG" else 40)


IN_CONTEXTS = """
import contextvars, gc, sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np

def worker():
    # As a Dask worker's thread: it has a context of its own, which knows nothing of what others imported or opened.
    from swath.geo import Window
    from swath.imagery.sources.find import find
    from swath.imagery.reading.dataset_cache import OPEN_FILES
    from swath.imagery.reading.mosaic import read_mosaic
    from swath.spec.fields.imagery import FilesImagery
    pool = ThreadPoolExecutor(1)
    scenes = [find(FilesImagery(paths=(f"{sys.argv[1]}/a.tif?{n}",)), None, None, None) for n in range(OPEN_FILES + 3)]
    first = None
    for turn in range(2):
        for each in scenes:  # more than are kept open, so that some are closed in another context than they were opened in
            pixels, _ = pool.submit(contextvars.copy_context().run, read_mosaic, each, Window(0, 0, 256, 256)).result()
            gc.collect()
            [bytes(200) for _ in range(1000)]
            again, _ = pool.submit(contextvars.copy_context().run, read_mosaic, each, Window(0, 0, 256, 256)).result()
            first = pixels if first is None else first
            assert (pixels == first).all() and (again == first).all()
    pool.shutdown()
    print("same")

thread = threading.Thread(target=worker)
thread.start()
thread.join()
"""


@pytest.mark.slow
def test_files_stay_open_from_call_to_call_whatever_context_each_call_has(server: Web) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_CONTEXTS, server.address], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("same\n", "", 0)
