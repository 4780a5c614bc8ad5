"""From the agent's file to launchers."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.agent.agent_file import read_agent_file
from swath.errors import UsageError
from swath.launchers.docker import DockerLauncher
from swath.launchers.open import open_launcher


def test_the_agents_file_names_launchers_and_says_every_mistake_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("launchers:\n  box: {kind: docker, image: swath:0.2, memory: 16g}\n")
    assert isinstance(open_launcher(read_agent_file(file).launchers["box"]), DockerLauncher)
    file.write_text("launchers:\n  box: {kind: docker, image: swath:0.2, memori: 16g}\n  far:\n    kind: vortex\n")
    with pytest.raises(UsageError) as caught:
        read_agent_file(file)
    assert "agent.yaml:2:" in str(caught.value)
    assert "memori" in str(caught.value)
    assert "agent.yaml:4:" in str(caught.value)
