"""Notifications of the end of a run, by webhook or through apprise, within a time limit."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from swath.errors import UsageError
from swath.reporting.webhook import post
from swath.spec.notify import MASKED_SCHEME, WEBHOOK_SCHEMES, NotifySettings, Recipient
from swath.units import duration

_ERROR_LENGTH = 2000
"""Characters of the error in a message."""
_OUTPUTS = 100
"""Outputs in the JSON of a message."""
_LOGGERS = ("apprise", "urllib3")
"""They log addresses."""


@dataclass(frozen=True)
class NotificationLimits:
    """Times of sending, in seconds."""

    attempt_s: float = 10.0
    """Of one of the two attempts at a webhook."""
    pause_s: float = 1.0
    """Between the two attempts at an address."""
    total_s: float = 22.0
    """For all notifications of a run together: they are sent at the same time."""
    terminated_s: float = 2.0
    """For all together after SIGTERM, which SIGKILL follows soon."""


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
    """Paths and URLs of what was published; a message lists at most 100."""
    set_aside: int
    """Number of items that failed for good."""
    report: str
    """Path of the report's page on the host; empty when there is none."""
    host: str

    @property
    def subject(self) -> str:
        """One line."""
        aside = f", {self.set_aside} set aside" if self.set_aside and self.status == "partial" else ""
        return f"{self.name}: {self.status}{aside} after {duration(self.seconds)}"

    @property
    def text(self) -> str:
        """A few lines for people."""
        lines = [self.subject]
        if self.error and self.status != "partial":
            lines.append(self.error[:_ERROR_LENGTH])
        lines += self.outputs[:5]
        if len(self.outputs) > 5:
            lines.append(f"and {len(self.outputs) - 5} more")
        lines.append(
            f"run {self.run} ({self.pipeline}) on {self.host}" + (f", report {self.report}" if self.report else "")
        )
        return "\n".join(lines)

    def to_json(self) -> str:
        """One JSON object; Slack, Mattermost and similar services show its `text`."""
        fields = asdict(self) | {"error": self.error[:_ERROR_LENGTH], "outputs": self.outputs[:_OUTPUTS]}
        return json.dumps({"text": self.text, **fields}, ensure_ascii=False)


def recipients_for(settings: Sequence[NotifySettings], status: str) -> tuple[Recipient, ...]:
    """The addresses to notify of a run with this status, each once; none of an interrupted run."""
    if status == "interrupted":
        return ()
    found = [one for each in settings for one in (each.on_success if status == "done" else each.on_failure)]
    return tuple({one.url: one for one in found if one.scheme}.values())


def check_addresses(settings: Sequence[NotifySettings]) -> None:
    """Raises UsageError for an address whose form apprise does not know. Webhooks were checked with the spec."""
    others = [
        one for each in settings for one in each.recipients if one.scheme not in (*WEBHOOK_SCHEMES, MASKED_SCHEME)
    ]
    if not others:
        return
    with _muted():
        import apprise

        for one in others:
            if apprise.Apprise.instantiate(one.url.get_secret_value()) is None:
                raise UsageError(
                    f"notify: apprise does not know the form of the address {one.masked}",
                    remedy="`apprise --details` lists the forms",
                )


def send(
    recipients: Sequence[Recipient],
    ending: RunEnding,
    *,
    limits: NotificationLimits = NotificationLimits(),
    leave: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Notify all addresses at the same time. Returns a line for each that failed, without secrets. Never raises.

    leave: called every 50 ms; waiting ends when it returns True.
    """
    limit_s = limits.terminated_s if ending.status == "terminated" else limits.total_s
    failures: dict[int, str] = {}

    def send_one(index: int) -> None:
        try:
            failures[index] = _send(recipients[index], ending, limits)
        except Exception as error:  # noqa: BLE001 - a library may raise anything, with the address in its message
            failures[index] = f"failed with {type(error).__name__}"

    threads = [threading.Thread(target=send_one, args=(index,), daemon=True) for index in range(len(recipients))]
    with _muted(threads):
        deadline = time.monotonic() + limit_s
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline and not leave():
            next(thread for thread in threads if thread.is_alive()).join(0.05)
    late = f"was not sent within {limit_s:g} s"
    found = [failures.get(index, late) for index in range(len(recipients))]
    return [f"the notification to {one.masked} {why}" for one, why in zip(recipients, found, strict=True) if why]


def _send(recipient: Recipient, ending: RunEnding, limits: NotificationLimits) -> str:
    """Notify one address. Returns what went wrong; empty when nothing did."""
    if recipient.scheme == MASKED_SCHEME:
        return (
            "was not sent: its address was written in the spec itself and therefore not stored; write it as ${env:NAME}"
        )
    url = recipient.url.get_secret_value()
    if recipient.scheme in WEBHOOK_SCHEMES:
        return post(url, ending.to_json().encode(), attempt_s=limits.attempt_s, pause_s=limits.pause_s)
    return _through_apprise(url, ending, limits.pause_s)


def _through_apprise(url: str, ending: RunEnding, pause_s: float) -> str:
    import apprise

    one = apprise.Apprise.instantiate(url)
    if one is None:
        return "was not sent: apprise does not know the form of its address"
    subject, _, rest = ending.text.partition("\n")
    kind = apprise.NotifyType.SUCCESS if ending.status == "done" else apprise.NotifyType.FAILURE
    for attempt in (1, 2):
        if one.notify(title=subject, body=rest, notify_type=kind):
            return ""
        if attempt == 1:
            time.sleep(pause_s)
    return "was not accepted in two attempts; `apprise -vv -b test ADDRESS` says why"


class _MutedLoggers:
    """Loggers that show nothing while at least one notification is being sent: several runs may overlap in one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._nowhere = logging.NullHandler()
        self._propagate: dict[str, bool] = {}
        self._handlers: list[logging.Handler] = []

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            for logger in map(logging.getLogger, _LOGGERS):
                self._propagate[logger.name] = logger.propagate
                logger.propagate = False
                logger.addHandler(self._nowhere)
            self._handlers = list(logging.getLogger().handlers)
            for handler in self._handlers:  # also for a library's logger that is not below the one of its name
                handler.addFilter(_is_shown)

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for logger in map(logging.getLogger, _LOGGERS):
                logger.removeHandler(self._nowhere)
                logger.propagate = self._propagate[logger.name]
            for handler in self._handlers:
                handler.removeFilter(_is_shown)


def _is_shown(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] not in _LOGGERS


_MUTED = _MutedLoggers()


@contextlib.contextmanager
def _muted(threads: Sequence[threading.Thread] = ()) -> Iterator[None]:
    """Inside, and until the threads end, nothing that apprise and urllib3 log is shown: their lines name addresses."""

    def restore() -> None:
        for thread in late:
            thread.join()
        _MUTED.leave()

    _MUTED.enter()
    try:
        yield
    finally:
        late = [thread for thread in threads if thread.is_alive()]
        if late:
            threading.Thread(target=restore, daemon=True).start()
        else:
            restore()
