from __future__ import annotations

from swath.cluster.doctor.finding import finding_of
from swath.errors import CredentialsError


def test_a_missing_right_is_a_failure_only_where_a_run_needs_it() -> None:
    error = CredentialsError("denied", remedy="ask")
    assert finding_of("image", error).exit_code == 4
    assert finding_of("network", error, needed=False).state == "warn"
