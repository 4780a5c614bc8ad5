"""The client of a server's API: for `pipe`, agents, supervisors and programs."""

from __future__ import annotations

import json
import math
import random
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from swath.errors import CredentialsError, InfrastructureError, StateError, SwathError, UsageError
from swath.protocol.inquiries import Inquiry, InquiryAnswer, InquiryClaim
from swath.protocol.live import Live
from swath.protocol.messages import (
    AgentInfo,
    AgentRegistration,
    Beat,
    BeatAnswer,
    Cancellation,
    Claim,
    End,
    Gone,
    Line,
    LinePage,
    LinesAnswer,
    LogLines,
    Me,
    Message,
    Registered,
    RunFile,
    RunInfo,
    RunPage,
    RunRequest,
    Work,
)
from swath.protocol.patience import Patience
from swath.protocol.triggers import LookAnswer, LookClaim, LookWork, TriggersRead
from swath.version import __version__

M = TypeVar("M", bound=Message)
MOST_BYTES = 64 * 1024 * 1024
"""Of an answer."""


class ServerUnavailable(InfrastructureError):
    """The server does not answer, or asks to come back later. What was asked may be asked again."""

    retryable = True


class Superseded(StateError):
    """The server says that this does not fit to what has happened meanwhile, such as a newer attempt."""


@dataclass(frozen=True)
class ClientLimits:
    """Times of requests."""

    connect_s: float = 10.0
    read_s: float = 30.0
    """Beside the time that a request asks the server to wait."""
    tries: int = 5
    """Of a request that may be asked again, when the server does not answer."""
    pause_s: float = 0.5
    """Before the second try; doubles with each."""
    away_s: float = 3600.0
    """How long a wait for a run goes on while the server does not answer."""
    away_pause_s: float = 5.0
    """Between two tries then, beside those of each request."""


class Client:
    """One server, asked with one token. Safe for threads."""

    def __init__(self, url: str, token: str, limits: ClientLimits = ClientLimits()) -> None:
        """url: such as https://swath.example.org. Raises UsageError for an address that would send the token in the clear."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(f"{url!r} is no address of a server", remedy="such as https://swath.example.org")
        if parts.scheme == "http" and host not in ("localhost", "127.0.0.1", "::1"):
            raise UsageError(f"{url} would send the token without encryption", remedy="use https://")
        self.url = url.rstrip("/")
        self._token = token
        self._limits = limits
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=8, retries=False)

    # --- people and CI

    def me(self) -> Me:
        """Whose token it is."""
        return Me.model_validate(self._ask("GET", "/me"))

    def projects(self) -> list[dict[str, Any]]:
        """Projects that one may know of: name, source, limits."""
        found: list[dict[str, Any]] = self._ask("GET", "/projects")
        return found

    def submit(self, request: RunRequest, key: str | None = None) -> RunInfo:
        """Ask for a run. key: idempotency key; the same key with the same request gives the same run, however often it is asked."""
        answer = self._ask("POST", "/runs", request, headers={"Idempotency-Key": key or secrets.token_hex(16)})
        return RunInfo.model_validate(answer)

    def run(self, run: str, wait_s: float = 0) -> RunInfo:
        """One run. wait_s: answer when it has ended, or after so many seconds, at most 25."""
        return RunInfo.model_validate(self._ask("GET", f"/runs/{quote(run, safe='')}", wait_s=wait_s))

    def runs(self, **filters: str | int | None) -> RunPage:
        """A page of runs: project, state, status, pipeline, cursor, limit."""
        return RunPage.model_validate(self._ask("GET", "/runs", query=filters))

    def lines(self, run: str, after: int = 0, level: str | None = None, wait_s: float = 0) -> LinePage:
        """Log lines of a run after one of them."""
        path = f"/runs/{quote(run, safe='')}/lines"
        return LinePage.model_validate(self._ask("GET", path, query={"after": after, "level": level}, wait_s=wait_s))

    def all_runs(self, **filters: str | int | None) -> Iterator[RunInfo]:
        """All runs, newest first: project, state, status, pipeline. Asks for a page at a time."""
        page = self.runs(**filters)
        yield from page.runs
        while page.next is not None:
            page = self.runs(**{**filters, "cursor": page.next})
            yield from page.runs

    def files(self, run: str) -> tuple[RunFile, ...]:
        """What is known of a run's outputs: place, media type, size, SHA-256."""
        return self.run(run).files

    def wait(
        self, run: str, timeout_s: float = math.inf, told: Callable[[SwathError], None] = lambda error: None
    ) -> RunInfo:
        """A run once it has ended, or after so many seconds as it is then.

        A server that is away for a while is waited for; told: called each time it does not answer. Raises ServerUnavailable when it is
        away for longer than `away_s` of the limits.
        """
        patience = self._patience(told)
        until = time.monotonic() + timeout_s
        while True:
            left = until - time.monotonic()
            try:
                info = self.run(run, wait_s=max(0.0, min(25.0, left)))
            except ServerUnavailable as error:
                patience.wait(error)
                continue
            patience.answered()
            if info.state == "ended" or left <= 0:
                return info

    def follow(
        self,
        run: str,
        level: str | None = None,
        after: int = 0,
        told: Callable[[SwathError], None] = lambda error: None,
    ) -> Iterator[Line]:
        """Log lines of a run from the first after one of them to the last, as they come and each once, until the run has ended.

        A server that is away is waited for, as by `wait`.
        """
        patience = self._patience(told)
        while True:
            try:
                page = self.lines(run, after, level, wait_s=25)
            except ServerUnavailable as error:
                patience.wait(error)
                continue
            patience.answered()
            yield from page.lines
            after = page.next
            if page.ended:
                return

    def _patience(self, told: Callable[[SwathError], None]) -> Patience:
        return Patience(self._limits.away_s, self._limits.away_pause_s, told)

    def cancel(self, run: str, reason: str = "") -> RunInfo:
        """Ask a run to stop."""
        return RunInfo.model_validate(
            self._ask("POST", f"/runs/{quote(run, safe='')}/cancel", Cancellation(reason=reason))
        )

    def resume(self, run: str) -> RunInfo:
        """Queue a run again that has ended without its result."""
        return RunInfo.model_validate(self._ask("POST", f"/runs/{quote(run, safe='')}/resume", {}))

    def agents(self) -> list[AgentInfo]:
        """All agents."""
        return [AgentInfo.model_validate(agent) for agent in self._ask("GET", "/agents")]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Any other route, with plain JSON."""
        return self._ask(method, path, body)

    # --- agents and supervisors

    def register(self, registration: AgentRegistration) -> Registered:
        """Say that an agent is there."""
        return Registered.model_validate(self._ask("POST", "/agents", registration))

    def claim(self, agent: str, claim: Claim) -> Work | None:
        """Ask for a run; None if there is none in the time that the claim waits."""
        answer = self._ask("POST", f"/agents/{agent}/claim", claim, wait_s=claim.wait_s, query=None)
        return None if answer is None else Work.model_validate(answer)

    def claim_look(self, agent: str, claim: LookClaim) -> LookWork | None:
        """Ask for something to look at; None if there is nothing in the time that the claim waits. One try."""
        answer = self._once("POST", f"/agents/{agent}/look", claim, wait_s=claim.wait_s)
        return None if answer is None else LookWork.model_validate(answer)

    def triggers_read(self, agent: str, look: str, told: TriggersRead) -> None:
        """Say which triggers a project has."""
        self._ask("POST", f"/agents/{agent}/look/{look}/triggers", told)

    def found(self, agent: str, look: str, told: LookAnswer) -> None:
        """Say what a look found."""
        self._ask("POST", f"/agents/{agent}/look/{look}/found", told)

    def take_inquiry(self, agent: str, claim: InquiryClaim) -> Inquiry | None:
        """Ask for an inquiry; None if there is none in the time that the claim waits. One try."""
        answer = self._once("POST", f"/agents/{agent}/inquiries", claim, wait_s=claim.wait_s)
        return None if answer is None else Inquiry.model_validate(answer)

    def answer_inquiry(self, agent: str, inquiry: str, answer: InquiryAnswer) -> None:
        """Answer an inquiry."""
        self._ask("PUT", f"/agents/{agent}/inquiries/{inquiry}", answer)

    def gone(self, agent: str, run: str, gone: Gone) -> None:
        """Say that an attempt has ended without a word."""
        self._ask("POST", f"/agents/{agent}/gone/{quote(run, safe='')}", gone)

    def take_over(self, run: str, number: int) -> Work:
        """Exchange the token of a job's definition for the attempt's own. May be asked again until the first beat."""
        return Work.model_validate(self._ask("POST", _attempt(run, number, "work"), {}))

    def beat(
        self, run: str, number: int, earlier: int | None = None, commit: str = "", *, started: bool = True
    ) -> BeatAnswer:
        """Say that an attempt goes on; earlier, commit, started: see Beat. One try: the next beat is the next try."""
        beat = Beat(earlier=earlier, commit=commit, started=started)
        return BeatAnswer.model_validate(self._once("POST", _attempt(run, number, "beat"), beat))

    def send_lines(self, run: str, number: int, lines: tuple[Line, ...]) -> LinesAnswer:
        """Add log lines. One try."""
        return LinesAnswer.model_validate(self._once("POST", _attempt(run, number, "lines"), LogLines(lines=lines)))

    def send_live(self, run: str, number: int, live: Live) -> None:
        """Say how an attempt stands. One try: the next one is sent soon."""
        self._once("PUT", _attempt(run, number, "live"), live)

    def end(self, run: str, number: int, end: End) -> None:
        """Say how an attempt ended. One try."""
        self._once("POST", _attempt(run, number, "end"), end)

    # --- requests

    def _ask(self, method: str, path: str, body: Message | dict[str, Any] | None = None, **options: Any) -> Any:
        """A request that may be asked again: tried several times when the server does not answer."""
        pause = self._limits.pause_s
        for left in reversed(range(self._limits.tries)):
            try:
                return self._once(method, path, body, **options)
            except ServerUnavailable:
                if not left:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def _once(
        self,
        method: str,
        path: str,
        body: Message | dict[str, Any] | None = None,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        wait_s: float = 0,
    ) -> Any:
        values = {name: value for name, value in (query or {}).items() if value is not None}
        if wait_s and method == "GET":
            values["wait_s"] = wait_s
        address = f"{self.url}/api/v1{path}{f'?{urlencode(values)}' if values else ''}"
        content = (
            body.model_dump_json() if isinstance(body, Message) else json.dumps(body) if body is not None else None
        )
        try:
            answer = self._pool.request(
                method,
                address,
                body=content.encode() if content is not None else None,
                headers={
                    **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
                    "Content-Type": "application/json",
                    "User-Agent": f"swath/{__version__}",
                    "Swath-Version": __version__,
                    **(headers or {}),
                },
                timeout=urllib3.Timeout(connect=self._limits.connect_s, read=self._limits.read_s + wait_s),
                redirect=False,
                preload_content=False,
            )
            data = answer.read(MOST_BYTES + 1, decode_content=True)
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise ServerUnavailable(
                f"the server {self.url} does not answer: {type(error).__name__}",
                remedy="see whether it is up, and its address",
            ) from error
        if len(data) > MOST_BYTES:
            raise InfrastructureError(f"{self.url}{path}: the answer is too large")
        if answer.status >= 300:
            raise _error(answer.status, data, f"{self.url}{path}")
        try:
            return json.loads(data) if data else None
        except ValueError:
            raise ServerUnavailable(
                f"{self.url}{path}: the answer is not JSON", remedy="is this the address of a swath server?"
            ) from None


def _attempt(run: str, number: int, what: str) -> str:
    return f"/attempts/{quote(run, safe='')}/{number}/{what}"


def _error(status: int, data: bytes, address: str) -> SwathError:
    """The error of an answer. What is no problem+json of a swath server, such as the page of a proxy, is not believed: nobody's run may
    be stopped because of it."""
    try:
        problem = json.loads(data)
        text, remedy = str(problem["detail"])[:4000], str(problem.get("remedy", ""))[:1000]
        exit_code = int(problem["exit_code"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServerUnavailable(
            f"{address}: HTTP {status} is no answer of a swath server", remedy="see the address, and what is in between"
        )
    if status >= 500 or status == 429:
        return ServerUnavailable(f"{address}: the server cannot answer now (HTTP {status}): {text}", remedy=remedy)
    if status in (401, 403):
        return CredentialsError(text, remedy=remedy)
    if status in (409, 410):
        return Superseded(text, remedy=remedy)
    if exit_code == UsageError.exit_code:
        return UsageError(text, remedy=remedy)
    return InfrastructureError(f"{address}: {text} (HTTP {status})", remedy=remedy)
