from __future__ import annotations

from swath.cluster.teardown.lease import CloudLease


def test_a_lease_is_read_back_from_its_id_and_two_clusters_of_one_run_have_two() -> None:
    lease = CloudLease.new("20260301-120000-Größe:1-ab12", "gcp", "my-project")
    assert CloudLease.parse(lease.run, lease.id) == lease
    assert lease != CloudLease.new(lease.run, "gcp", "my-project")
