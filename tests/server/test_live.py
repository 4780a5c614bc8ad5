from __future__ import annotations

import pytest

from swath.protocol.live import Live, LiveNode
from swath.server.database.database import Database
from swath.server.live import LiveDocuments
from swath.server.refusals import Conflict, NotFound
from tests.server.test_queue import Bench

NODE = LiveNode(
    name="infer", state="open", total=4, done=1, reused=0, failed=0, retried=0, active=1, fraction=0.25, calls_per_s=1.0,
    pixels_per_s=1e6, km2_per_s=0.1, eta_s=3.0, seconds=0.0,
)  # fmt: skip


def test_the_newest_document_of_the_newest_attempt_is_kept(database: Database) -> None:
    bench = Bench(database)
    bench.project("lakes")
    run = bench.submit()
    bench.claim(bench.agent("desk"))
    documents = LiveDocuments(database)
    assert documents.get(run) is None
    for done in (1, 2):
        documents.put(run, 1, Live(nodes=(NODE.model_copy(update={"done": done}),)))
    found = documents.get(run)
    assert found is not None
    assert found.nodes[0].done == 2
    assert documents.of([]) == {}
    with pytest.raises(Conflict, match="given up"):
        documents.put(run, 2, found)
    with pytest.raises(NotFound):
        documents.put("nothing", 1, found)
