from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from swath.engine import disk
from swath.errors import StateError

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:27 / /home rw,relatime shared:2 master:1 - nfs4 server:/home rw
31 30 0:28 / /home/me/local\\040disk rw - xfs /dev/sdb1 rw
32 22 0:29 / /mnt rw - ext4 /dev/sdc1 rw
33 22 0:30 / /mnt rw - fuse.sshfs me@server:/ rw
not a line of it
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib", "ext4"),
        ("/home/me/project", "nfs4"),
        ("/homely", "ext4"),
        ("/home/me/local disk/project", "xfs"),
        ("/mnt/x", "fuse.sshfs"),
    ],
)
def test_the_deepest_mount_and_of_two_the_later_one_says_what_a_path_lies_on(path: str, kind: str) -> None:
    assert disk.file_system_of(PurePosixPath(path), MOUNTS) == kind


def test_only_network_file_systems_are_named(tmp_path: Path) -> None:
    file = tmp_path / "mounts"
    assert disk.network_file_system(tmp_path, file) == ""
    file.write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    assert disk.network_file_system(tmp_path, file) == ""
    file.write_text("22 1 8:1 / / rw - fuse.s3fs bucket rw\n")
    assert disk.network_file_system(tmp_path, file) == "fuse.s3fs"


def test_a_disk_without_room_is_an_error_that_says_how_much_is_free(
    tmp_path: Path,
) -> None:
    disk.check_free_space(tmp_path)
    with pytest.raises(StateError, match=r"is full: [0-9.]+ MB are free, a run needs 1048576 MB to begin") as caught:
        disk.check_free_space(tmp_path, 2**40)
    assert caught.value.exit_code == 6
