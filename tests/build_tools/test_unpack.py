"""An archive unpacks to exactly its tree, or to nothing at all and never to anything elsewhere."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from build_tools.errors import CacheError, DiskFullError, UnpackError
from build_tools.unpack import FIXED_TIME, Limits, unpack
from tests.build_tools.archives import Member, source_archive, tar_gz, tree, zipped

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "deep" / "er" / "target"
    folder.parent.mkdir(parents=True)
    return folder


def packed(tmp_path: Path, data: bytes, name: str = "a.tar.gz") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def refused(tmp_path: Path, into: Path, data: bytes, **options) -> str:
    """Unpack, expect a refusal, and that nothing at all is left anywhere."""
    archive = packed(tmp_path, data)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnpackError) as caught:
        unpack(archive, into, **options)
    assert sorted(tmp_path.rglob("*")) == before
    return str(caught.value)


def test_a_tarball_unpacks_to_its_tree(tmp_path, into):
    result = unpack(packed(tmp_path, source_archive()), into, subdir="lib-1.0")
    assert sorted(tree(into)) == ["configure", "data.bin", "src/lib.cc"]
    assert tree(into)["src/lib.cc"] == b"int f() { return 1; }\n"
    assert (result.files, result.size) == (3, sum(map(len, tree(into).values())))


def test_a_zip_unpacks_to_its_tree_whatever_its_name(tmp_path, into):
    data = zipped(Member("pkg/m.onnx", b"model"), Member("pkg/run", b"#!", mode=0o755))
    unpack(packed(tmp_path, data, "8f3a"), into, subdir="pkg", contains="m.onnx")
    assert tree(into) == {"m.onnx": b"model", "run": b"#!"}
    assert into.joinpath("run").stat().st_mode & stat.S_IXUSR


def test_only_the_folder_asked_for_is_written(tmp_path, into):
    data = tar_gz(
        Member("p/third/src/a.h", b"1"), Member("p/thirdparty/b.h", b"2"), Member("p/c.h", b"3")
    )
    unpack(packed(tmp_path, data), into, subdir="p/third")
    assert tree(into) == {"src/a.h": b"1"}


def test_executables_stay_so_and_odd_modes_do_not(tmp_path, into):
    data = tar_gz(Member("x", b"1", mode=0o6755), Member("y", b"2", mode=0o000))
    unpack(packed(tmp_path, data), into)
    assert stat.S_IMODE((into / "x").stat().st_mode) & 0o7111 == 0o111
    assert (into / "y").stat().st_mode & stat.S_IRUSR


def test_twice_gives_the_same_tree_and_no_file_from_the_future(tmp_path, into):
    archive = packed(tmp_path, source_archive())
    unpack(archive, into)
    times = {path: path.stat().st_mtime for path in into.rglob("*")}
    assert set(times.values()) == {FIXED_TIME}
    unpack(archive, into)
    assert {path: path.stat().st_mtime for path in into.rglob("*")} == times


def test_what_was_there_is_replaced_only_by_a_whole_tree(tmp_path, into):
    unpack(packed(tmp_path, source_archive()), into)
    before = tree(into)
    refused(tmp_path, into, source_archive()[:-2000])
    assert tree(into) == before
    unpack(packed(tmp_path, tar_gz(Member("only", b"1"))), into)
    assert tree(into) == {"only": b"1"}


def test_what_a_killed_run_has_left_is_swept_away(tmp_path, into):
    stale = into.with_name("target.partial")
    (stale / "lib-1.0").mkdir(parents=True)
    (stale / "lib-1.0" / "half").write_bytes(b"ha")
    unpack(packed(tmp_path, source_archive()), into, subdir="lib-1.0")
    assert "half" not in tree(into)
    assert not stale.exists()


# Links


def test_links_inside_the_tree_work(tmp_path, into):
    data = tar_gz(
        Member("r/l", kind="symlink", target="src/a.h"),
        Member("r/src/a.h", b"text", mode=0o755),
        Member("r/up/b", kind="symlink", target="../src/a.h"),
        Member("r/hard", kind="hardlink", target="r/src/a.h"),
    )
    unpack(packed(tmp_path, data), into, subdir="r")
    assert tree(into) == dict.fromkeys(("hard", "l", "src/a.h", "up/b"), b"text")
    assert (into / "l").is_symlink()
    assert os.access(into / "hard", os.X_OK)
    assert (into / "hard").stat().st_nlink == 1


@pytest.mark.parametrize(
    "members",
    [
        (Member("r/l", kind="symlink", target="/etc/passwd"),),
        (Member("r/l", kind="symlink", target="../outside"),),
        (Member("r/l", kind="symlink", target="x/../../outside"),),
        (Member("r/l", kind="symlink", target="C:\\Windows"),),
        (Member("r/l", kind="symlink", target="..\\..\\x"),),
        (Member("r/h", kind="hardlink", target="/etc/passwd"),),
        (Member("r/h", kind="hardlink", target="../../etc/passwd"),),
        (Member("other", b"1"), Member("r/h", kind="hardlink", target="other")),
        (Member("r/h", kind="hardlink", target="r/not-there"),),
    ],
    ids=lambda members: f"{members[-1].kind}->{members[-1].target}",
)
def test_links_out_of_the_tree_are_refused(tmp_path, into, members):
    message = refused(tmp_path, into, tar_gz(Member("r/ok", b"1"), *members), subdir="r")
    assert members[-1].name in message


def test_a_link_that_leads_out_only_through_another_link_is_refused(tmp_path, into):
    # By its words r/d/m stays inside; but r/d/l is the root, and what lies above it is outside.
    data = tar_gz(
        Member("r/d/ok", b"1"),
        Member("r/d/l", kind="symlink", target=".."),
        Member("r/d/m", kind="symlink", target="l/.."),
    )
    assert "leads out of the tree" in refused(tmp_path, into, data, subdir="r")


def test_nothing_is_written_through_a_link(tmp_path, into):
    outside = tmp_path / "outside"
    outside.mkdir()
    data = tar_gz(
        Member("l", kind="symlink", target=str(outside)), Member("l/evil", b"written through")
    )
    refused(tmp_path, into, data)
    inside = tar_gz(
        Member("d/", kind="folder"),
        Member("l", kind="symlink", target="d"),
        Member("l/evil", b"written through"),
    )
    assert "not a folder" in refused(tmp_path, into, inside)


def test_a_zip_link_out_of_the_tree_is_refused(tmp_path, into):
    data = zipped(Member("ok", b"1"), Member("l", kind="symlink", target="../../x"))
    assert "leads out of the tree" in refused(tmp_path, into, data)


# Names, kinds, sizes


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/tmp/evil",
        "//evil",
        "C:/evil",
        "c:evil",
        "a\\..\\..\\evil",
        "\\\\h\\s",
    ],
)
@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_names_that_leave_the_tree_are_refused(tmp_path, into, name, pack):
    data = pack(Member("fine", b"1"), Member(name, b"2"))
    assert "evil" in refused(tmp_path, into, data) or name.startswith("\\")


def test_a_bad_name_is_refused_even_outside_the_folder_asked_for(tmp_path, into):
    refused(tmp_path, into, tar_gz(Member("r/a", b"1"), Member("../evil", b"2")), subdir="r")


@pytest.mark.parametrize("kind", ["device", "fifo"])
def test_devices_and_pipes_are_refused(tmp_path, into, kind):
    assert "neither a file" in refused(tmp_path, into, tar_gz(Member("d", kind=kind)))


def test_a_device_in_a_zip_is_refused(tmp_path, into):
    assert "neither a file" in refused(tmp_path, into, zipped(Member("d", b"1", kind="device")))


def test_a_name_that_is_there_twice_is_refused(tmp_path, into):
    data = tar_gz(Member("a", b"1"), Member("b", kind="symlink", target="a"), Member("./b", b"2"))
    assert "twice" in refused(tmp_path, into, data)


def test_a_bomb_is_stopped_by_what_it_unpacks_to(tmp_path, into):
    bomb = tar_gz(Member("zeros", bytes(30_000_000)))
    assert len(bomb) < 40_000
    message = refused(tmp_path, into, bomb)
    assert "unpacks to more than" in message


def test_a_bomb_in_a_zip_is_stopped_whatever_its_header_says(tmp_path, into):
    assert "unpacks to more" in refused(tmp_path, into, zipped(Member("z", bytes(30_000_000))))


def test_a_bomb_outside_the_folder_asked_for_is_stopped_too(tmp_path, into):
    data = tar_gz(Member("zeros", bytes(30_000_000)), Member("r/a", b"1"))
    assert "unpacks to more than" in refused(tmp_path, into, data, subdir="r")


def test_an_endless_header_is_stopped(tmp_path, into):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"comment": "x" * 30_000_000}
        tar.addfile(info)
    refused(tmp_path, into, gzip.compress(plain.getvalue(), mtime=0))


def test_too_many_members_are_refused(tmp_path, into):
    data = tar_gz(*(Member(f"f{n}", b"") for n in range(11)))
    assert "too many members" in refused(tmp_path, into, data, limits=Limits(files=10))
    unpack(packed(tmp_path, data), into, limits=Limits(files=11))


# Damage


@pytest.mark.parametrize("keep", [0, 1, 9, 5000, -9, -1])
def test_a_truncated_tarball_is_refused(tmp_path, into, keep):
    assert "damaged or cut short" in refused(tmp_path, into, source_archive()[:keep])


@pytest.mark.parametrize("keep", [3, 200, -40, -1])
def test_a_truncated_zip_is_refused(tmp_path, into, keep):
    data = zipped(Member("a", os.urandom(4000)), Member("b", b"x"))
    assert "damaged or cut short" in refused(tmp_path, into, data[:keep])


def test_a_flipped_bit_is_noticed(tmp_path, into):
    data = bytearray(source_archive())
    data[len(data) // 2] ^= 1
    assert "damaged or cut short" in refused(tmp_path, into, bytes(data))
    member = bytearray(zipped(Member("a", os.urandom(4000))))
    member[2000] ^= 1
    assert "damaged or cut short" in refused(tmp_path, into, bytes(member))


def test_an_encrypted_zip_is_refused(tmp_path, into):
    data = bytearray(zipped(Member("a", b"1")))
    data[6] |= 1  # the flag in the local header …
    data[data.index(b"PK\x01\x02") + 8] |= 1  # … and in the directory
    assert "damaged or cut short" in refused(tmp_path, into, bytes(data))


def test_other_formats_are_refused(tmp_path, into):
    assert "neither a .tar.gz nor a .zip" in refused(tmp_path, into, b"<html>Please log in</html>")


def test_an_archive_without_what_was_asked_for_is_refused(tmp_path, into):
    assert "no-such" in refused(tmp_path, into, source_archive(), subdir="no-such")
    message = refused(tmp_path, into, source_archive(), subdir="lib-1.0", contains="src/other.cc")
    assert "src/other.cc" in message


# A file system that says no


def test_a_target_that_cannot_be_written_is_an_error_of_the_cache(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(CacheError, match="cannot unpack") as caught:
        unpack(packed(tmp_path, source_archive()), tmp_path / "file" / "target")
    assert "--cache-dir" in str(caught.value)


def test_a_full_device_is_said_so_and_cleaned_up(tmp_path, small_disk):
    archive = packed(tmp_path, source_archive(big=3_000_000))
    with pytest.raises(DiskFullError, match="no room left") as caught:
        unpack(archive, small_disk / "target")
    assert list(small_disk.iterdir()) == []
    assert "cache prune" in str(caught.value)


def test_a_zip_keeps_its_promise_of_size(tmp_path, into):
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as packed_zip:
        packed_zip.writestr("a", b"1234567890")
    data = bytearray(plain.getvalue())
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (20).to_bytes(4, "little")
    assert "damaged or cut short" in refused(tmp_path, into, bytes(data))
