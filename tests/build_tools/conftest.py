"""What several tests of the builder need."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from build_tools.record import Record
from tests.build_tools.web import serving


@pytest.fixture
def web():
    """A web server whose files misbehave on demand."""
    with serving() as server:
        yield server


@pytest.fixture
def recording():
    """A record that shows nothing."""
    return Record()


@pytest.fixture(params=["a full device", "a limit on file sizes"])
def small_disk(request, tmp_path):
    """A folder in which no file of a megabyte has room."""
    folder = tmp_path / "small"
    folder.mkdir()
    if request.param == "a full device":
        yield from _tiny_device(folder)
    else:
        yield from _limited_files(folder)


def _tiny_device(folder):
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if (
        not mount
        or not umount
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip(
            "mounting a small device is not allowed here; the limit on file sizes stands in"
        )
    try:
        yield folder
    finally:
        subprocess.run([umount, str(folder)], check=True)


def _limited_files(folder):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
