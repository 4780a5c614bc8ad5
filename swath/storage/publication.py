"""Publication: files are made in a staging folder, verified, and moved to their target together, the manifest last."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from swath import crashpoint
from swath.errors import SwathError, TaskFailed
from swath.spec.locations import is_remote, special_file
from swath.storage.address import scheme
from swath.storage.attempts import Attempts, UnexpectedAnswer
from swath.storage.bucket_lock import LOCKED_STORES, check_lock
from swath.storage.durable_write import checksum, sync, writing
from swath.storage.fence import wait_for_fence
from swath.storage.filesystem import filesystem_and_path
from swath.storage.object_writer import PART_BYTES
from swath.storage.objects import check_size, copy_object, remove_objects
from swath.storage.upload import Upload

log = logging.getLogger(__name__)

MANIFEST = "item.json"
"""The file that is published last: it names the others, with sizes and checksums."""
MANIFESTS = (MANIFEST, "collection.json")
"""The manifest of a map of several sheets is their STAC collection."""
_PLAIN_NAME = re.compile(r"(?!\.{1,2}$)[^/\\:*?\[\x00-\x1f\x7f]{1,255}")


@dataclass(frozen=True)
class PublishedFile:
    """One file of a publication."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Published:
    """Files that were published, and what the report says of them."""

    folder: str
    """Absolute path or URL."""
    files: tuple[PublishedFile, ...]
    about: dict[str, Any] = field(default_factory=dict)
    """Plain values for the report: input, seams, shares."""

    def outputs(self) -> list[str]:
        """Paths or URLs of the files."""
        return [f"{self.folder}/{file.name}" for file in self.files]

    def report(self) -> dict[str, Any]:
        """For the run's report."""
        files = [{"name": f.name, "bytes": f.bytes, "sha256": f.sha256} for f in self.files]
        return {"folder": self.folder, "files": files, **self.about}


def is_intact(published: Published) -> bool:
    """Whether every file is still there with the bytes that were published."""
    if "://" in published.folder:
        try:
            for file in published.files:
                check_size(f"{published.folder}/{file.name}", file.bytes, Attempts(requests=4))
        except (FileNotFoundError, UnexpectedAnswer):
            return False
        return True
    paths = [(Path(published.folder) / f.name, f) for f in published.files]
    return all(p.is_file() and p.stat().st_size == f.bytes and checksum(p) == f.sha256 for p, f in paths)


def published_name(href: str) -> str:
    """The name of a file that a manifest lists beside itself. Raises ValueError for any other href: it would lead elsewhere."""
    name = href.removeprefix("./")
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f"the href {href[:200]!r} is not a file beside it")
    return name


def _listed_by(manifest: Path, depth: int = 2) -> set[str]:
    """Names of the files beside a manifest that it lists, or that its items list; none of a damaged one."""
    try:
        if special_file(str(manifest)):  # reading it would block, or never end
            return set()
        document = json.loads(manifest.read_text())
        hrefs = [str(asset["href"]) for asset in document.get("assets", {}).values()]
        items = [str(link["href"]) for link in document.get("links", ()) if link["rel"] == "item"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
    names: set[str] = set()
    for href in (*hrefs, *items):
        with suppress(ValueError):
            names.add(published_name(href))
    if depth > 1:
        names.update(*(_listed_by(manifest.with_name(each[2:]), depth - 1) for each in items if each[2:] in names))
    return names


@contextmanager
def _signals_delayed() -> Iterator[None]:
    """Delay SIGINT, SIGTERM, SIGHUP and SIGALRM until the body is done, so that files that belong together are moved together.

    Python handles signals in the main thread only: in another thread nothing is to be delayed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    }
    try:
        yield
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)
        for number in received:
            signal.raise_signal(number)


def staging_folder(target: str, run: str) -> Path:
    """Local folder in which a run writes the files of an output before it publishes them.

    It is beside a local target, and in the folder for temporary files when the target is a URL.
    """
    if is_remote(target):
        which = hashlib.sha256(target.encode()).hexdigest()[:8]  # a run may have several
        return Path(tempfile.gettempdir()) / f"swath-{run}-{which}.partial"
    return Path(target).parent / f".{Path(target).name}.{run}.partial"


def remote_staging(target: str, run: str) -> str:
    """URL of the folder in the store of a target where a run's large files wait to be published."""
    return f"{target}/.{staging_folder(target, run).name}"


def is_staging_name(name: str, run: str) -> bool:
    """Whether `staging_folder` gives a folder of this name to a run, for a target of any kind."""
    if not run or "/" in run:
        return False
    local = name.startswith(".") and name.endswith(f".{run}.partial") and len(name) > len(f"..{run}.partial")
    return local or re.fullmatch(rf"swath-{re.escape(run)}-[0-9a-f]{{8}}\.partial", name) is not None


class Staging:
    """A folder to make files in, on the disk of their target. A context manager: the folder is removed afterwards in any case.

    `target` is a local folder or an fsspec URL; `run` makes the staging folder's name unique, and tells which run it belongs to.
    """

    def __init__(self, target: str, run: str) -> None:
        self.target = target
        self.run = run
        self.remote = "://" in target
        self.folder = staging_folder(target, run)
        self._uploads: dict[str, Upload] = {}
        self._remote_staging = remote_staging(target, run)

    def destination(self, name: str) -> Path | Upload:
        """Where to write a large file: in the staging folder, or to the object store of the target, as it may not fit on this disk."""
        if not self.remote:
            return self.folder / name
        return self._uploads.setdefault(name, Upload(f"{self._remote_staging}/{name}"))

    def source(self, name: str) -> str:
        """Path or URL from which a file can be read until it is published."""
        upload = self._uploads.get(name)
        return upload.url if upload else str(self.folder / name)

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)  # of an earlier session of the same run
        with writing(self.folder):
            self.folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._drop_uploads()

    def _drop_uploads(self) -> None:
        """Remove what waits in the store. A failure is a warning only: the files are published by then."""
        if not self._uploads:
            return
        try:
            remove_objects(self._remote_staging)
        except Exception as error:  # noqa: BLE001 - clients of stores raise errors of their own
            log.warning("%s could not be removed: %s", self._remote_staging, error)

    def files(self) -> tuple[PublishedFile, ...]:
        """The files written so far, sorted by name."""
        files = sorted(path for path in self.folder.iterdir() if path.is_file() and not path.name.startswith("."))
        found = [PublishedFile(path.name, path.stat().st_size, checksum(path)) for path in files]
        found += [PublishedFile(name, upload.size, upload.sha256) for name, upload in self._uploads.items()]
        return tuple(sorted(found, key=lambda file: file.name))

    def publish(
        self, about: dict[str, Any], kept: Collection[PublishedFile] = (), manifests: Collection[str] = MANIFESTS
    ) -> Published:
        """Move every file to the target, the manifest last. Raises TaskFailed; each file is then either the old or the new one.
        Raises StateError when a server has given the run to another machine.

        `kept` are files that are there already and stay part of the publication; others that the old manifest lists are removed.
        """
        wait_for_fence()
        files = sorted(self.files(), key=lambda file: file.name in manifests)
        if self.remote:
            self._put(files, manifests)
        else:
            self._rename(files, {file.name for file in kept}, manifests)
        return Published(self.target, tuple(sorted((*files, *kept), key=lambda file: file.name in manifests)), about)

    def _rename(self, files: list[PublishedFile], kept: set[str], manifests: Collection[str]) -> None:
        destination = Path(self.target)
        before = set().union(*({name, *_listed_by(destination / name)} for name in manifests))
        with writing(destination):
            destination.mkdir(parents=True, exist_ok=True)
            for file in files:
                sync(self.folder / file.name)
            with _signals_delayed():
                for file in files:
                    (self.folder / file.name).replace(destination / file.name)
                    crashpoint.reached("publishing")
                # Files of an earlier publication, such as vectors that this one has not.
                for name in before - kept - {file.name for file in files}:
                    (destination / name).unlink(missing_ok=True)
                sync(destination)

    def _put(self, files: list[PublishedFile], manifests: Collection[str]) -> None:
        check_lock(self.target, self.run)
        if scheme(self.target) not in LOCKED_STORES:  # those have no folders
            filesystem, folder = filesystem_and_path(self.target)
            filesystem.makedirs(folder, exist_ok=True)
        for file in files:
            if file.name in manifests:
                wait_for_fence()  # the files before it may have taken long
                check_lock(self.target, self.run)
            address = f"{self.target}/{file.name}"
            if file.name not in self._uploads:
                with (self.folder / file.name).open("rb") as source:
                    Upload(address).send(iter(lambda source=source: source.read(PART_BYTES), b""))  # type: ignore[misc]
                continue
            try:  # within the store
                copy_object(f"{self._remote_staging}/{file.name}", address, file.bytes)
            except SwathError:
                raise
            except Exception as error:  # clients of stores raise errors of their own
                raise TaskFailed(f"{address} could not be written: {error}") from error
