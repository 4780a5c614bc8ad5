"""Hooks: signed requests of other systems fire a trigger. What they send is data: declared values are taken from it, by their types."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from swath.errors import UsageError
from swath.protocol.triggers import Fired
from swath.server.database.database import Connection, Database
from swath.server.rate_limit import Rate, RateLimit
from swath.server.refusals import Conflict, NotFound, Refusal, TooMany, Unauthorized
from swath.server.triggers.firings import AskedFiring, Firings, pending_firings, tick
from swath.server.triggers.hook_signature import SignedRequest
from swath.server.triggers.stored import StoredTrigger, find_trigger, locked_trigger
from swath.triggers.json_pointer import at_pointer
from swath.triggers.trigger import HookTrigger
from swath.triggers.values import checked

MOST_BYTES = 256 * 1024
RATE = Rate(per_s=5, burst=50)
"""Of one hook."""
TELL_RATE = Rate(per_s=0.2, burst=20)
"""Of requests to one hook that are not believed and yet written down: anybody can send them."""
MOST_PENDING = 1000
"""Firings of one hook that have not ended."""


class Hooks:
    """Fires hooks of the server's database."""

    def __init__(self, database: Database, firings: Firings, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._firings = firings
        self._clock = clock
        self._rate = RateLimit(RATE, clock=clock)
        self._tell_rate = RateLimit(TELL_RATE, clock=clock)
        self._counting = threading.Lock()

    def fire(self, project: str, name: str, request: SignedRequest) -> Fired:
        """The run of a request; the same request gives the same run.

        Raises Unauthorized for one that is not believed, also when there is no such hook; TooMany, Conflict for a paused hook, and
        Refusal for values that are not there or not of their types.
        """
        if len(request.body) > MOST_BYTES:
            raise TooMany(f"a request to a hook may have {MOST_BYTES:,} bytes", status=413)
        now = self._clock()
        stored = self._believed(project, name, request, now)
        with self._counting:
            self._rate.take(stored.id)
        try:
            found = self._found(stored, request.body)
        except Refusal as error:
            self._tell(stored.id, error.message, now)
            raise
        with self._database.transaction() as db:
            locked = locked_trigger(db, self._database, stored.id)
            if locked is None:
                raise NotFound(f"there is no hook {name!r}")
            earlier = self._earlier(db, locked, request.id)
            if earlier is not None:
                return earlier
            refused = self._refused(db, locked)
            if refused is None:
                expires = None if locked.trigger.expires is None else now + locked.trigger.expires
                self._firings.fire(db, locked, AskedFiring(request.id, now, found, expires=expires), now, "hook")
                made = self._earlier(db, locked, request.id)
                assert made is not None, "it was added"
                return made
            tick(db, locked.id, "skipped", refused.message, now)
        raise refused  # after the transaction: what came of it is stored

    def _refused(self, db: Connection, stored: StoredTrigger) -> Refusal | None:
        """Why a hook that is believed gets no run now."""
        if stored.row["paused"]:
            return Conflict(f"the hook {stored.name} is paused")
        if pending_firings(db, stored.id) >= MOST_PENDING:
            return TooMany(
                f"{MOST_PENDING} runs of the hook {stored.name} have not ended", remedy="send it again later"
            )
        return None

    def _earlier(self, db: Connection, stored: StoredTrigger, key: str) -> Fired | None:
        rows = db.execute("SELECT run_id FROM firings WHERE trigger_id = ? AND key = ?", (stored.id, key))
        return Fired(key=key, run=rows[0]["run_id"]) if rows else None

    def _believed(self, project: str, name: str, request: SignedRequest, now: float) -> StoredTrigger:
        """The hook that a request has the signature for."""
        stored: StoredTrigger | None
        try:
            with self._database.reading() as db:
                stored = find_trigger(db, project, name)
        except NotFound:
            stored = None
        if stored is not None and stored.row["kind"] != "webhook":
            stored = None
        problem = request.problem(stored.row["hook_key"] if stored else "", now)
        if problem or stored is None:
            if stored is not None and stored.row["hook_key"]:
                with contextlib.suppress(TooMany):
                    with self._counting:
                        self._tell_rate.take(stored.id)
                    self._tell(stored.id, problem, now)
            raise Unauthorized(f"the request is not believed: {problem}", remedy="sign it with the hook's key")
        return stored

    def _tell(self, trigger: str, text: str, now: float) -> None:
        with self._database.transaction() as db:
            if locked_trigger(db, self._database, trigger) is not None:
                tick(db, trigger, "refused", text, now)

    def _found(self, stored: StoredTrigger, body: bytes) -> dict[str, Any]:
        """The declared values of a body. Raises Refusal."""
        trigger = stored.trigger
        assert isinstance(trigger, HookTrigger), "only hooks have keys"
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise Refusal("the body is no JSON") from None
        found: dict[str, Any] = {}
        for name, value in trigger.hook.items():
            try:
                found[name] = checked(at_pointer(document, value.pointer), name)
            except (ValueError, LookupError):
                raise Refusal(f"the body has no value at {value.pointer}", status=422) from None
            except UsageError as error:
                raise Refusal(error.message, status=422) from None
            if not _TYPES[value.type](found[name]):
                raise Refusal(f"the value at {value.pointer} is no {value.type}", status=422)
        return found


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole or (isinstance(value, float) and math.isfinite(value))


_TYPES: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "date": _is_date,
}
