"""Packer accepts the template of machine images, and the unit in them powers expired machines off."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.infra.conftest import ROOT, Tool

PACKER = ROOT / "infra" / "packer"
VARIABLES = ["container=ghcr.io/acme/swath:1", "commit=abc1234", "constraints=0123456789abcdef"]
ARGUMENTS = [word for each in VARIABLES for word in ("-var", each)]
WEEK_S = 7 * 24 * 3600


@pytest.mark.parametrize("more", [[], ["-var", "gpu=true"], ["-only=amazon-ebs.swath"], ["-only=googlecompute.swath"]])
def test_packer_takes_the_template(tool: Callable[[str], Tool], more: list[str]) -> None:
    done = tool("packer")("validate", *ARGUMENTS, *more, "infra/packer")
    assert done.returncode == 0, done.stdout + done.stderr


def test_packer_would_not_take_any_template(tool: Callable[[str], Tool], tmp_path: Path) -> None:
    folder = shutil.copytree(PACKER, tmp_path / "packer")
    template = folder / "swath.pkr.hcl"
    template.write_text(template.read_text().replace("instance_type ", "instance_kind "))
    done = tool("packer")("validate", *ARGUMENTS, str(folder))
    assert done.returncode == 1
    assert "instance_kind" in done.stdout + done.stderr


def test_the_template_is_formatted_as_packer_does_it(tool: Callable[[str], Tool], tmp_path: Path) -> None:
    packer = tool("packer")
    for folder in ("infra/packer", "infra/packer/plugins"):
        assert packer("fmt", "-check", folder).returncode == 0
    (tmp_path / "crooked.pkr.hcl").write_text('variable "a" {\ntype =   string\n}\n')
    assert packer("fmt", "-check", str(tmp_path)).returncode != 0


def test_the_plugins_that_current_packer_needs_are_beside_and_out_of_what_1_6_reads() -> None:
    assert "required_plugins" not in "".join(each.read_text() for each in PACKER.glob("*.hcl"))
    text = (PACKER / "plugins" / "plugins.pkr.hcl").read_text()
    assert re.findall(r'source\s+= "github.com/hashicorp/(\w+)"', text) == ["amazon", "googlecompute"]


def test_make_passes_every_variable_that_the_template_asks_for(tool: Callable[[str], Tool]) -> None:
    text = (PACKER / "swath.pkr.hcl").read_text()
    variables = dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, flags=re.MULTILINE | re.DOTALL))
    asked = {name for name, body in variables.items() if "default" not in body}
    done = tool("make")("--dry-run", "--assume-old=.venv/run.stamp", "machine-image", "ON=gcp", "VARIANT=gpu")
    passed = set(re.findall(r"-var (\w+)=", done.stdout))
    assert asked <= passed <= variables.keys()
    assert "-only=googlecompute.swath" in done.stdout


def test_cloud_init_takes_what_the_building_machine_is_given() -> None:
    text = (PACKER / "cloud-init.yaml").read_text()
    assert text.startswith("#cloud-config\n")
    assert "docker.io" in yaml.safe_load(text)["packages"]


def test_systemd_takes_the_units(tool: Callable[[str], Tool], tmp_path: Path) -> None:
    for name in ("swath-limit.service", "swath-limit.timer"):
        text = (PACKER / "files" / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/local/sbin/swath-limit", str(PACKER / "files" / "swath-limit")))
    done = tool("systemd-analyze")("verify", str(tmp_path / "swath-limit.timer"), str(tmp_path / "swath-limit.service"))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", ["install.sh", "files/swath-limit"])
def test_the_shell_takes_the_scripts(script: str) -> None:
    assert subprocess.run(["sh", "-n", str(PACKER / script)], check=False).returncode == 0
    assert os.access(PACKER / script, os.X_OK)


@dataclass
class Metadata:
    """What a machine's metadata service answers, by path."""

    answers: dict[str, str] = field(default_factory=dict)
    port: int = 0


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    """A metadata service as EC2 has it (only with a token, version 2), or Compute Engine."""
    made = Metadata()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer("a-token" if self.path == "/latest/api/token" else None)

        def do_GET(self) -> None:
            google = self.path.startswith("/computeMetadata/")
            allowed = (
                self.headers["Metadata-Flavor"] == "Google"
                if google
                else self.headers["X-aws-ec2-metadata-token"] == "a-token"
            )
            self.answer(made.answers.get(self.path) if allowed else None)

        def answer(self, text: str | None) -> None:
            self.send_response(200 if text is not None else 404)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class names it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def ended(metadata: Metadata, folder: Path, uptime_s: float = 100) -> bool:
    """Whether the unit's script would power the machine off."""
    off = folder / "poweroff"
    off.write_text(f"#!/bin/sh\necho off > {folder}/off\n")
    off.chmod(0o755)
    (folder / "uptime").write_text(f"{uptime_s:.2f} 12.00\n")
    environment = {
        **os.environ,
        "SWATH_METADATA": f"http://127.0.0.1:{metadata.port}",
        "SWATH_UPTIME": str(folder / "uptime"),
        "SWATH_POWEROFF": str(off),
    }
    subprocess.run([str(PACKER / "files" / "swath-limit")], env=environment, check=True, timeout=30)
    return (folder / "off").exists()


TAG, DATA = "/latest/meta-data/tags/instance/swath:expires", "/latest/user-data"


@pytest.mark.parametrize(
    ("answers", "in_s", "off"),
    [
        ({TAG: "{}"}, -1, True),
        ({TAG: "{}"}, 600, False),
        ({DATA: "#cloud-config\n# swath-expires: {}\n"}, -1, True),
        ({DATA: "#cloud-config\n# swath-expires: {}\n"}, 600, False),
        ({DATA: '{{"swath:expires": "{}"}}'}, -1, True),
        ({DATA: "#cloud-config\n"}, -1, False),
        ({"/computeMetadata/v1/instance/id": "1", TAG: "{}"}, -1, False),  # Compute Engine deletes by itself
    ],
)
def test_a_machine_is_powered_off_at_the_expiry_of_its_tag_or_user_data(
    metadata: Metadata, tmp_path: Path, answers: dict[str, str], in_s: int, off: bool
) -> None:
    metadata.answers = {path: text.format(int(time.time()) + in_s) for path, text in answers.items()}
    assert ended(metadata, tmp_path) is off


def test_a_machine_without_an_expiry_is_powered_off_after_the_longest_that_a_spec_allows(
    metadata: Metadata, tmp_path: Path
) -> None:
    from swath.spec.clusters.cloud import AwsCluster

    longest = AwsCluster.model_json_schema()["properties"]["max_hours"]["maximum"] * 3600
    assert longest == WEEK_S
    assert not ended(metadata, tmp_path, uptime_s=longest)
    assert ended(metadata, tmp_path, uptime_s=longest + 3601)


FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> "$OUT"
case "$*" in
    *describe-images*) printf 'ami-4\\tsnap-4\\nami-3\\tsnap-3\\nami-2\\tsnap-2\\nami-1\\tsnap-1\\n' ;;
    *"images list"*) printf 'swath-4\\nswath-3\\nswath-2\\n' ;;
esac
"""


@pytest.mark.parametrize(
    ("cloud", "removed"),
    [
        ("aws", ["deregister-image --region r --image-id ami-1", "delete-snapshot --region r --snapshot-id snap-1"]),
        ("gcp", []),
    ],
)
def test_of_each_kind_of_machine_image_the_newest_stay(tmp_path: Path, cloud: str, removed: list[str]) -> None:
    out = tmp_path / "out"
    for name in ("aws", "gcloud"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "OUT": str(out), "REGION": "r", "PROJECT": "p"}
    subprocess.run(["sh", str(PACKER / "old_images.sh"), cloud, "swath", "3"], env=env, check=True, timeout=60)
    listed, *rest = out.read_text().splitlines()
    assert "tag:Name,Values=swath" in listed if cloud == "aws" else "family=swath" in listed
    assert [line.removeprefix("aws ec2 ") for line in rest] == removed


@pytest.mark.parametrize(
    ("container", "host"),
    [
        ("ghcr.io/acme/swath:1", "https://ghcr.io"),
        (
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/swath:1",
            "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        ),
        ("europe-west4-docker.pkg.dev/acme/maps/swath:1", "https://europe-west4-docker.pkg.dev"),
    ],
)
def test_a_container_of_a_private_registry_is_pulled_after_a_login_that_does_not_stay(
    tmp_path: Path, container: str, host: str
) -> None:
    text = (PACKER / "install.sh").read_text()
    part = text[text.index("login=$(mktemp") : text.index("install -d /etc/swath\n")]
    out = tmp_path / "out"
    (tmp_path / "docker").write_text(
        '#!/bin/sh\necho "$*" >> "$OUT"\ncase "$*" in *login*) cat >> "$OUT"; echo >> "$OUT" ;; esac\n'
    )
    (tmp_path / "docker").chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "OUT": str(out), "CONTAINER": container, "TMPDIR": str(tmp_path)}
    subprocess.run(["sh", "-euc", part], env=env, check=True, timeout=60)
    assert "login" not in out.read_text().replace("--config", ""), "a public one needs none"
    out.unlink()
    env |= {"REGISTRY_USER": "AWS", "REGISTRY_PASSWORD": "a b$c"}
    subprocess.run(["sh", "-euc", part], env=env, check=True, timeout=60)
    login, password, pull = out.read_text().splitlines()
    assert login.endswith(f"login --username AWS --password-stdin {host}")
    assert password == "a b$c"
    assert pull.endswith(f"pull {container}")
    assert login.split()[0] == pull.split()[0], "both use the same folder"
    assert not Path(login.split()[0].removeprefix("--config=")).exists()


def test_open_kernel_modules_are_installed_unless_the_gpus_are_too_old_for_them() -> None:
    """NVIDIA: Blackwell and Grace need the open kernel modules; Maxwell, Pascal and Volta need the proprietary ones."""
    text = (PACKER / "install.sh").read_text()
    line = next(each for each in text.splitlines() if "modules=-open" in each)
    for kind, expected in (("open", "-open"), ("proprietary", "")):
        done = subprocess.run(
            ["sh", "-euc", f'{line.strip()}; printf %s "$modules"'],
            env={"GPU_MODULES": kind, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == expected
    assert '"nvidia-headless-$driver-server$modules"' in text
