"""The table of a matrix's variants, as a file and from the journal."""

from __future__ import annotations

from pathlib import Path

from swath.engine.journal import Journal
from swath.engine.store import ResultStore
from swath.runner.variant_table import VariantRow, VariantTable


def test_a_table_is_updated_while_the_run_goes_on(tmp_path: Path) -> None:
    table = VariantTable((VariantRow("a=1", {"a": 1}), VariantRow("a=2", {"a": 2})))
    table.write(tmp_path, str)
    assert VariantTable.read(tmp_path) == table
    with Journal.open(tmp_path) as journal:
        assert [row.state for row in table.updated(journal, ResultStore(str(tmp_path)), "r", ended=False).rows] == [
            "waiting"
        ] * 2
    assert VariantTable.read(tmp_path / "none") is None
