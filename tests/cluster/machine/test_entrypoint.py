from __future__ import annotations

from swath.cluster.machine.entrypoint import worker_shares


def test_processes_share_memory_equally_and_have_a_gpu_each() -> None:
    assert [resources for resources, _ in worker_shares(4, 0, 16_000)] == [{"cpu": 1, "memory": 4000}] * 4
    shares = worker_shares(2, 2, 16_000)
    assert [resources["gpu"] for resources, _ in shares] == [1, 1]
    assert [env["CUDA_VISIBLE_DEVICES"] for _, env in shares] == ["0", "1"]
