from __future__ import annotations

from swath.cluster.teardown.lease import CloudLease


def test_a_lease_is_parsed_from_its_id_and_every_cluster_has_its_own() -> None:
    lease = CloudLease.new("20260301-120000-Größe:1-ab12", "gcp", "my-project")
    assert CloudLease.parse(lease.run, lease.id) == lease
    assert lease != CloudLease.new(lease.run, "gcp", "my-project")
