"""Publication: files are made beside their place, and appear there whole, the manifest last."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import signal
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from swath import crashpoint
from swath.errors import TaskFailed
from swath.spec.locations import is_remote
from swath.storage.durable_write import checksum, not_written, sync, writing
from swath.storage.filesystem import filesystem_and_path
from swath.storage.upload import Upload

log = logging.getLogger(__name__)

MANIFEST = "item.json"
"""The file that is published last: when it is there and fits, so do all others."""
MANIFESTS = (MANIFEST, "collection.json")
"""The same of a map of several sheets is their collection."""


@dataclass(frozen=True)
class PublishedFile:
    """One file of a publication."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Published:
    """What was published, and what the report says of it."""

    folder: str
    """Absolute path or URL."""
    files: tuple[PublishedFile, ...]
    about: dict[str, Any] = field(default_factory=dict)
    """Plain values: input, seams, shares."""

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
        filesystem, folder = filesystem_and_path(published.folder)
        return all(
            filesystem.exists(f"{folder}/{f.name}") and filesystem.size(f"{folder}/{f.name}") == f.bytes
            for f in published.files
        )
    paths = [(Path(published.folder) / f.name, f) for f in published.files]
    return all(p.is_file() and p.stat().st_size == f.bytes and checksum(p) == f.sha256 for p, f in paths)


def _named_by(manifest: Path) -> set[str]:
    """Names of the files beside a manifest that it lists."""
    try:
        told = json.loads(manifest.read_text())
        hrefs = {str(asset["href"]) for asset in told.get("assets", {}).values()}
        items = {str(link["href"]) for link in told.get("links", ()) if link["rel"] == "item"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    names = {href[2:] for href in hrefs | items if href.startswith("./") and "/" not in href[2:]}
    return names.union(*(_named_by(manifest.with_name(item[2:])) for item in items if item[2:] in names))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals and alarms that come meanwhile are heard afterwards, so that they do not part files that belong together.

    Off the main thread none is heard in any case.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: heard.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    }
    try:
        yield
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)
        for number in heard:
            signal.raise_signal(number)


def staging_folder(target: str, run: str) -> Path:
    """Local folder in which a run writes the files of an output before it publishes them.

    It is beside a local target, and in the folder for temporary files when the target is a URL.
    """
    if is_remote(target):
        which = hashlib.sha256(target.encode()).hexdigest()[:8]  # a run may have several
        return Path(tempfile.gettempdir()) / f"swath-{run}-{which}.partial"
    return Path(target).parent / f".{Path(target).name}.{run}.partial"


class Staging:
    """A folder to make files in, on the disk of their place. A context manager: it is gone afterwards, whatever happened.

    `target` is a local folder or an fsspec URL; `run` makes the staging folder's name unique and says whose it is.
    """

    def __init__(self, target: str, run: str) -> None:
        self.target = target
        self.remote = "://" in target
        self.folder = staging_folder(target, run)
        self._uploads: dict[str, Upload] = {}
        self._held = f"{target}/.{self.folder.name}"
        """Of an address: where large files wait there."""

    def place(self, name: str) -> Path | Upload:
        """Where to write a large file: in the folder, or to the store that it will be published in, for it may not fit here."""
        if not self.remote:
            return self.folder / name
        return self._uploads.setdefault(name, Upload(f"{self._held}/{name}"))

    def source(self, name: str) -> str:
        """Path or URL from which a file that was made can be read until it is published."""
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
        """Remove what waits in the store. What cannot be removed does not undo what was published."""
        if not self._uploads:
            return
        filesystem, held = filesystem_and_path(self._held)
        try:
            if filesystem.exists(held):
                filesystem.rm(held, recursive=True)
        except OSError as error:
            log.warning("%s could not be removed: %s", self._held, error)

    def facts(self) -> tuple[PublishedFile, ...]:
        """The files made so far, by name."""
        files = sorted(path for path in self.folder.iterdir() if path.is_file() and not path.name.startswith("."))
        made = [PublishedFile(path.name, path.stat().st_size, checksum(path)) for path in files]
        made += [PublishedFile(name, upload.size, upload.sha256) for name, upload in self._uploads.items()]
        return tuple(sorted(made, key=lambda file: file.name))

    def publish(
        self, about: dict[str, Any], kept: Collection[PublishedFile] = (), manifests: Collection[str] = MANIFESTS
    ) -> Published:
        """Put every file in its place, the manifest last. Raises TaskFailed; each file is then either the old or the new one.

        `kept` are files that are there already and belong to what is published; others that the old manifest lists are removed.
        """
        files = sorted(self.facts(), key=lambda file: file.name in manifests)
        if self.remote:
            self._put(files)
        else:
            self._rename(files, {file.name for file in kept}, manifests)
        return Published(self.target, tuple(sorted((*files, *kept), key=lambda file: file.name in manifests)), about)

    def _rename(self, files: list[PublishedFile], kept: set[str], manifests: Collection[str]) -> None:
        place = Path(self.target)
        before = set().union(*({name, *_named_by(place / name)} for name in manifests))
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
            for file in files:
                sync(self.folder / file.name)
            with _undisturbed():
                for file in files:
                    (self.folder / file.name).replace(place / file.name)
                    crashpoint.reached("publishing")
                # Of an earlier map, such as vectors that are not asked for now.
                for name in before - kept - {file.name for file in files}:
                    (place / name).unlink(missing_ok=True)
                sync(place)

    def _put(self, files: list[PublishedFile]) -> None:
        filesystem, folder = filesystem_and_path(self.target)
        filesystem.makedirs(folder, exist_ok=True)
        for file in files:
            address = f"{folder}/{file.name}"
            try:
                if file.name in self._uploads:  # the store copies it itself
                    filesystem.cp_file(f"{folder}/.{self.folder.name}/{file.name}", address)
                    filesystem.invalidate_cache()
                else:
                    filesystem.put_file(str(self.folder / file.name), address)
                found = filesystem.info(address)["size"]
            except OSError as error:
                raise TaskFailed(f"{self.target}/{file.name} could not be written: {error}") from error
            if found != file.bytes:
                raise not_written(Path(address), f"{found} bytes arrived instead of {file.bytes}")
