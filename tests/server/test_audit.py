from __future__ import annotations

import pytest

from swath.server.audit import audit_page, record
from swath.server.database.database import Database
from swath.server.refusals import Refusal


def test_changes_come_newest_first_in_pages_that_overlap_nowhere(database: Database) -> None:
    with database.transaction() as db:
        for number in range(5):
            record(db, 100.0 + number // 2, "ada", "put project", f"p{number}", {"number": number})
    found, cursor = [], None
    for _ in range(3):
        page = audit_page(database, cursor, limit=2)
        found += [entry.detail["number"] for entry in page.entries]
        cursor = page.next
    assert cursor is None
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert [number // 2 for number in found] == [2, 1, 1, 0, 0]
    with pytest.raises(Refusal, match="no cursor"):
        audit_page(database, "wrong")
