"""Notices: tells people how a run ended, by webhook or through apprise. Bounded in time; what goes wrong is only said."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from swath.errors import UsageError
from swath.spec.notify import HIDDEN, WEB, Notice, Notify
from swath.units import duration
from swath.version import __version__

TRY_S = 10.0
"""Time limit of one attempt."""
PAUSE_S = 1.0
"""Between the two attempts."""
LIMIT_S = 2 * TRY_S + PAUSE_S + 1
"""For all notices of a run together: they are sent at once."""
HURRY_S = 2.0
"""The same when the run was terminated: who sends SIGTERM sends SIGKILL soon."""
_LONGEST = 2000
"""Characters of the error."""
_OUTPUTS = 100


@dataclass(frozen=True)
class RunEnding:
    """How a run ended: the body of a webhook is these fields and `text`."""

    run: str
    pipeline: str
    name: str
    status: str
    exit_code: int
    seconds: float
    error: str
    outputs: tuple[str, ...]
    """What was published; at most 100 of them."""
    set_aside: int
    """How many items were."""
    report: str
    """Path of the report's page on the host; empty when there is none."""
    host: str

    @property
    def subject(self) -> str:
        """One line."""
        aside = f", {self.set_aside} set aside" if self.set_aside else ""
        return f"{self.name}: {self.status}{aside} after {duration(self.seconds)}"

    @property
    def text(self) -> str:
        """A few lines that a person reads."""
        lines = [self.subject]
        if self.error and self.status != "partial":
            lines.append(self.error[:_LONGEST])
        lines += self.outputs[:5]
        if len(self.outputs) > 5:
            lines.append(f"and {len(self.outputs) - 5} more")
        lines.append(
            f"run {self.run} ({self.pipeline}) on {self.host}" + (f", report {self.report}" if self.report else "")
        )
        return "\n".join(lines)

    def to_json(self) -> str:
        """One JSON object; `text` is what Slack and those who do like it show."""
        fields = asdict(self) | {"error": self.error[:_LONGEST], "outputs": self.outputs[:_OUTPUTS]}
        return json.dumps({"text": self.text, **fields}, ensure_ascii=False)


def whom(notifies: Sequence[Notify], status: str) -> tuple[Notice, ...]:
    """Who is told of a run that ended so, each address once."""
    if status == "interrupted":
        return ()
    told = [one for each in notifies for one in (each.on_success if status == "done" else each.on_failure)]
    return tuple({one.url: one for one in told if one.scheme}.values())


def check(notifies: Sequence[Notify]) -> None:
    """Raises UsageError for an address that apprise does not know; webhooks need no look."""
    others = [one for each in notifies for one in each.notices if one.scheme not in (*WEB, HIDDEN)]
    if not others:
        return
    with _captured():
        import apprise

        for one in others:
            if apprise.Apprise.instantiate(one.url.get_secret_value()) is None:
                raise UsageError(
                    f"notify: nobody can be told by the address {one.shown}",
                    remedy="its form is not one that apprise knows: `apprise --details` lists them",
                )


def send(
    notices: Sequence[Notice],
    ending: RunEnding,
    *,
    limit_s: float | None = None,
    leave: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Tell everybody at once and return what went wrong, a line each, without any secret of an address. Never raises.

    limit_s: time for all together. leave: asked now and then whether to wait no longer.
    """
    wrong: dict[int, str] = {}
    limit_s = limit_s if limit_s is not None else HURRY_S if ending.status == "terminated" else LIMIT_S

    def tell(index: int) -> None:
        try:
            wrong[index] = _tell(notices[index], ending)
        except Exception as error:  # noqa: BLE001 - a library may raise anything, with the address in its message
            wrong[index] = f"failed with {type(error).__name__}"

    threads = [threading.Thread(target=tell, args=(index,), daemon=True) for index in range(len(notices))]
    with _captured() as keep:
        deadline = time.monotonic() + limit_s
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline and not leave():
            next(thread for thread in threads if thread.is_alive()).join(0.05)
        if any(thread.is_alive() for thread in threads):
            keep()  # what a late thread logs may name the address
    late = f"was not told within {limit_s:g} s"
    said = [wrong.get(index, late) for index in range(len(notices))]
    return [f"the notice to {one.shown} {why}" for one, why in zip(notices, said, strict=True) if why]


def _tell(notice: Notice, ending: RunEnding) -> str:
    """Tell one. Returns what went wrong, or nothing."""
    if notice.scheme == HIDDEN:
        return "was not sent: its address stood plainly in the spec, so it was not kept; write it as ${env:NAME}"
    if notice.scheme in WEB:
        why, again = _post(notice.url.get_secret_value(), ending)
        if again:
            time.sleep(PAUSE_S)
            why, _ = _post(notice.url.get_secret_value(), ending)
        return why
    return _through_apprise(notice, ending)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the address is where the message goes, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, ending: RunEnding) -> tuple[str, bool]:
    """What went wrong, or nothing, and whether it may go better a second time."""
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": f"swath/{__version__}"}
    if "@" in parts.netloc:
        who = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(who.encode()).decode()
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    request = urllib.request.Request(address, ending.to_json().encode(), headers, method="POST")
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=TRY_S):
            return "", False
    except urllib.error.HTTPError as error:
        error.close()
        return f"was answered with {error.code}", error.code >= 500 or error.code == 429
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _why(error), isinstance(error, (OSError, http.client.HTTPException))


def _why(error: Exception) -> str:
    """In words, and without the message of the exception: it may have the address in it."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"was not answered within {TRY_S:g} s"
    words = reason.strerror if isinstance(reason, OSError) and isinstance(reason.strerror, str) else ""
    return f"failed: {words}" if words else f"failed with {type(reason).__name__}"


def _through_apprise(notice: Notice, ending: RunEnding) -> str:
    import apprise

    one = apprise.Apprise.instantiate(notice.url.get_secret_value())
    if one is None:
        return "was not sent: its address has a form that apprise does not know"
    subject, _, rest = ending.text.partition("\n")
    kind = apprise.NotifyType.SUCCESS if ending.status == "done" else apprise.NotifyType.FAILURE
    for attempt in (1, 2):
        if one.notify(title=subject, body=rest, notify_type=kind):
            return ""
        if attempt == 1:
            time.sleep(PAUSE_S)
    return "was not taken, tried twice; `apprise -vv -b test ADDRESS` says why"


@contextlib.contextmanager
def _captured() -> Iterator[Callable[[], None]]:
    """Inside, apprise logs to nobody: its lines name addresses. What is yielded makes that stay so."""
    logger = logging.getLogger("apprise")
    before, nobody, stay = logger.propagate, logging.NullHandler(), threading.Event()
    logger.propagate = False
    logger.addHandler(nobody)
    try:
        yield stay.set
    finally:
        if not stay.is_set():
            logger.removeHandler(nobody)
            logger.propagate = before
