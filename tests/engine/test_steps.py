from __future__ import annotations

from swath.engine.steps import Step, Steps


def test_a_step_is_forgotten_once_all_its_nodes_have_ended_and_its_result_is_handed_over_once() -> None:
    steps = Steps()
    step = Step("each", 3, ["each[3]/a", "each[3]/b"], 2)
    steps.add(step, "each[3]/b")
    assert steps.contains("each[3]/a")
    assert not steps.contains("each")
    assert steps.pop_result("each[3]/a") is None
    steps.settle("each[3]/b")
    assert steps.pop_result("each[3]/b") is step
    assert steps.pop_result("each[3]/b") is None
    assert steps.pop_settled("each[3]/b") == []
    assert len(steps) == 2
    steps.settle("each[3]/a")
    assert steps.pop_settled("each[3]/a") == step.names
    assert len(steps) == 0


def test_nodes_outside_of_steps_are_none_of_its_business() -> None:
    steps = Steps()
    steps.settle("alone")
    assert steps.pop_settled("alone") == []
