from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.cluster.machine import cloud_init
from swath.cluster.machine.cloud_init import BootPlan, ContainerRegistry, registry_of, user_data
from tests.clouds.machine import commands

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=40)
DOCKER = '#!/bin/sh\nprintf "%s\\0" "$@" > "$OUT"\n'


def plain(**fields: object) -> BootPlan:
    return BootPlan(
        **{"image": "acme/swath:1", "command": ("python", "-V"), "env": {}, "expires": 1_800_000_000} | fields
    )  # type: ignore[arg-type]


def told_to_docker(data: str) -> list[str]:
    """What docker gets when the user data is run by a real shell, as cloud-init has it run."""
    script = commands([line for line in yaml.safe_load(data)["runcmd"] if line[0] == "docker"])
    with tempfile.TemporaryDirectory() as folder:
        docker, out = Path(folder, "docker"), Path(folder, "out")
        docker.write_text(DOCKER)
        docker.chmod(0o755)
        subprocess.run(["sh", "-c", script], env={"PATH": f"{folder}:/usr/bin:/bin", "OUT": str(out)}, check=True)
        return out.read_bytes().decode().split("\0")[:-1]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_values_of_environment_variables_arrive_unchanged(env: dict[str, str]) -> None:
    words = told_to_docker(user_data(plain(env=env)))
    assert [words[i + 1] for i, word in enumerate(words) if word == "-e"] == [f"{k}={v}" for k, v in env.items()]
    assert words[-3:] == ["acme/swath:1", "python", "-V"]


def test_the_time_limit_is_set_first_and_does_not_block() -> None:
    document = yaml.safe_load(user_data(plain(limit_s=3600, install=True)))
    assert next(iter(document)) == "bootcmd"
    assert document["bootcmd"][0][:3] == ["systemd-run", "--no-block", "--on-active=3600"]
    assert document["bootcmd"][0][-3:] == document["runcmd"][-1] == ["shutdown", "-h", "now"]


def test_a_machine_that_its_cloud_deletes_is_never_only_powered_off() -> None:
    data = user_data(plain(limit_s=None, install=True))
    assert "shutdown" not in data
    assert "poweroff" not in data
    assert yaml.safe_load(data)["runcmd"][-1] == ["echo", cloud_init.CONTAINER_ENDED]


def test_docker_is_installed_only_where_the_machine_image_has_none() -> None:
    assert "apt-get" not in user_data(plain())
    assert "docker.io" in user_data(plain(install=True))


def test_a_private_registry_of_the_cloud_is_read_with_the_rights_of_the_machine() -> None:
    mine = registry_of("123456789012.dkr.ecr.eu-central-1.amazonaws.com/swath:1")
    assert mine == ContainerRegistry("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "aws")
    document = yaml.safe_load(user_data(plain(registry=mine, install=True)))
    assert "ecr-login" in document["write_files"][0]["content"]
    assert "amazon-ecr-credential-helper" in document["runcmd"][1]
    theirs = registry_of("europe-west4-docker.pkg.dev/acme/swath/swath:1")
    assert theirs is not None
    assert theirs.kind == "gcp"
    signed_in = yaml.safe_load(user_data(plain(registry=theirs)))["runcmd"][1]
    assert signed_in[-2] == "europe-west4-docker.pkg.dev"
    assert registry_of("ghcr.io/acme/swath:1") is registry_of("acme/swath") is None


def test_the_sign_in_to_googles_registry_uses_the_token_of_the_metadata() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        shims = {"curl": '#!/bin/sh\necho \'{"access_token":"ya29.x-Y_z","expires_in":3599}\'\n'}
        shims["docker"] = '#!/bin/sh\n{ echo "$@"; cat; } > "$OUT"\n'
        for name, text in shims.items():
            Path(folder, name).write_text(text)
            Path(folder, name).chmod(0o755)
        words = ["sh", "-c", cloud_init.SIGN_IN, "sh", "gcr.io", "/d"]
        subprocess.run(words, env={"PATH": f"{folder}:/usr/bin:/bin", "OUT": str(out)}, check=True)
        arguments, token = out.read_text().splitlines()
    assert arguments == "--config=/d login --username oauth2accesstoken --password-stdin https://gcr.io"
    assert token == "ya29.x-Y_z"


def test_docker_is_installed_although_unattended_upgrades_hold_the_locks() -> None:
    """apt: DPkg::Lock::Timeout waits for dpkg's lock; the lock of the package lists has no such option, so it is tried again."""
    update, install = (
        line for line in yaml.safe_load(user_data(plain(install=True)))["runcmd"] if "apt-get" in str(line)
    )
    assert "DPkg::Lock::Timeout=300" in install
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("apt-get", 'echo x >> "$OUT"; test $(wc -l < "$OUT") -ge 3\n'), ("sleep", "\n")):
            Path(folder, name).write_text(f"#!/bin/sh\n{text}")
            Path(folder, name).chmod(0o755)
        out = Path(folder, "out")
        subprocess.run(update, env={"PATH": f"{folder}:/usr/bin:/bin", "OUT": str(out)}, check=True)
        assert out.read_text().count("x") == 3
