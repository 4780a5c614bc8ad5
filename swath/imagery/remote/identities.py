"""Content identities of inputs, local and remote; those of many files are asked in parallel, within a time limit.

The rule is that of swath.file_identity. Here are the requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from stat import S_ISDIR, S_ISREG

from swath.errors import ImageryError, ReadFailed, SwathError
from swath.file_identity import RemoteFacts, is_unknown, local_identity, remote_identity, unknown_identity
from swath.imagery.remote.range_request import fetch_range
from swath.imagery.remote.request_policy import POLICY, RequestPolicy
from swath.storage.address import local_path, redacted, scheme
from swath.storage.filesystem import open_filesystem

_BY_RANGES = ("http", "https", "s3", "gs")
"""URL schemes that swath.imagery.remote.range_request reads; others go through fsspec."""

WITHOUT_VERSION = "the server sends neither ETag nor Last-Modified"


@dataclass(frozen=True)
class IdentityLimits:
    """How the identities of many remote files are asked."""

    at_once: int = 32
    """Requests at the same time, to all hosts together; RequestPolicy.per_host limits those to one host."""
    total_s: float = 120
    """Longest time for all files of one search. The identities of the others are unknown then."""
    policy: RequestPolicy = field(default=RequestPolicy(connect_s=5, stall_s=10, request_s=20, tries=3))


LIMITS = IdentityLimits()


def identity(href: str, policy: RequestPolicy = POLICY) -> str:
    """The content identity of a file or folder. Raises ImageryError when there is none or when it is a pipe or a device,
    CredentialsError when it may not be read, ReadFailed when its server does not answer."""
    kind = scheme(href)
    if kind == "file":
        path = local_path(href)
        try:
            mode = path.stat().st_mode
            if not (S_ISREG(mode) or S_ISDIR(mode)):
                raise ImageryError(f"{href}: a pipe, a socket or a device", remedy="Name the file itself.")
            return local_identity(path)
        except OSError as error:
            raise ImageryError(f"{redacted(href)}: {error.strerror}", remedy="Check the path.") from error
    return remote_identity(_ask(href, kind, policy))


def identities(hrefs: Iterable[str], notes: list[str], limits: IdentityLimits = LIMITS) -> dict[str, str]:
    """The identity of each remote file. Where a server does not answer, or not in time, it is unknown: what depends on the file is
    computed again in every run, and `notes` gets a line that says so."""
    asked = _Asked(list(dict.fromkeys(hrefs)), limits)
    found, failed = asked.answers()
    for text, files in failed.items():
        more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
        notes.append(
            f"{redacted(files[0])}{more}: whether it changed cannot be known ({text}); what is computed of it is not reused"
        )
    return found


class _Asked:
    """Requests for the identities of files, in threads that do not keep the process alive."""

    def __init__(self, hrefs: list[str], limits: IdentityLimits) -> None:
        self._hrefs, self._limits = hrefs, limits
        self._waiting = iter(hrefs)
        self._lock = threading.Lock()
        self._found: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    def answers(self) -> tuple[dict[str, str], dict[str, list[str]]]:
        """(identity of each file, files without one by reason)."""
        deadline = time.monotonic() + self._limits.total_s
        threads = [
            threading.Thread(target=self._ask_all, name="identity", daemon=True)
            for _ in range(min(self._limits.at_once, len(self._hrefs)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._waiting = iter(())
            found, failed = dict(self._found), dict(self._failed)
        reasons: dict[str, list[str]] = {}
        for href in self._hrefs:
            if href not in found:
                reasons.setdefault(failed.get(href, f"no answer within {self._limits.total_s:g} s"), []).append(href)
                found[href] = unknown_identity()
            elif is_unknown(found[href]):
                reasons.setdefault(WITHOUT_VERSION, []).append(href)
        return {href: found[href] for href in self._hrefs}, reasons

    def _ask_all(self) -> None:
        while True:
            with self._lock:
                href = next(self._waiting, None)
            if href is None:
                return
            try:
                answer = identity(href, self._limits.policy)
            except SwathError as error:
                reason = error.message.replace(redacted(href), "").lstrip(": ")
                with self._lock:
                    self._failed[href] = reason
            except Exception as error:  # noqa: BLE001 - clients of stores have errors of their own
                with self._lock:
                    self._failed[href] = f"{type(error).__name__}"
            else:
                with self._lock:
                    self._found[href] = answer


def _ask(href: str, kind: str, policy: RequestPolicy) -> RemoteFacts:
    if kind in _BY_RANGES:
        found = fetch_range(href, 0, 1, policy)
        return RemoteFacts(found.size, found.etag, found.modified)
    try:
        facts = open_filesystem(href).info(href)
    except FileNotFoundError as error:
        raise ImageryError(f"{redacted(href)}: no such file", remedy="Check the path.") from error
    except OSError as error:
        raise ReadFailed(f"{redacted(href)}: could not be looked up: {error}", remedy="Try again later.") from error
    return RemoteFacts(
        facts.get("size"),
        str(facts.get("ETag") or facts.get("etag") or ""),
        " ".join(str(facts[key]) for key in ("mtime", "LastModified", "last_modified", "updated", "created") if facts.get(key)),
    )  # fmt: skip
