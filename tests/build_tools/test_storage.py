"""What is written to the cache is written whole, and what the file system refuses is explained."""

from __future__ import annotations

import errno
import json
import os
import stat

import pytest

from build_tools.errors import CacheError, DiskFullError
from build_tools.storage import (
    copy_with_digest,
    guarded,
    locked,
    locked_at_once,
    remove_tree,
    sha256_of,
    walk_files,
    write_json,
)
from tests.build_tools.archives import sha256


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_told_apart_and_says_how_much_there_is(tmp_path, number):
    with pytest.raises(DiskFullError, match="cannot keep x") as caught, guarded(tmp_path, "keep x"):
        raise OSError(number, os.strerror(number), str(tmp_path / "f"))
    assert str(tmp_path / "f") in str(caught.value)
    assert "MB are free" in str(caught.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOTDIR])
def test_what_cannot_be_written_is_an_error_of_the_cache(tmp_path, number):
    with pytest.raises(CacheError) as caught, guarded(tmp_path, "keep x"):
        raise OSError(number, os.strerror(number), str(tmp_path))
    assert os.strerror(number) in str(caught.value)
    assert "ONNXFORGE_CACHE_DIR" in str(caught.value)


def test_other_errors_pass(tmp_path):
    with pytest.raises(ZeroDivisionError), guarded(tmp_path, "keep x"):
        raise ZeroDivisionError


def test_a_json_file_is_the_old_one_until_it_is_the_new_one(tmp_path):
    path = tmp_path / "m.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.json"]


def test_a_lock_is_held_by_one_and_given_back_on_an_error(tmp_path, recording):
    record, lock = recording, tmp_path / "locks" / "x.lock"

    def fail_inside():
        with locked(lock, "x", record), locked_at_once(lock) as held:
            assert not held
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    with locked_at_once(lock) as held:
        assert held


def test_a_lock_in_a_folder_that_cannot_be_made_is_an_error_of_the_cache(tmp_path, recording):
    (tmp_path / "file").write_bytes(b"")
    lock = tmp_path / "file" / "x.lock"
    with pytest.raises(CacheError, match="cannot lock x"), locked(lock, "x", recording):
        raise AssertionError("is held although it cannot be")


def test_digests_are_of_the_whole_content(tmp_path):
    data = os.urandom(2_500_000)
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == sha256(data)
    assert copy_with_digest(tmp_path / "a", tmp_path / "b") == sha256(data)
    assert (tmp_path / "b").read_bytes() == data


def test_a_folder_goes_with_its_read_only_parts_but_nothing_behind_a_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_bytes(b"1")
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"2")
    (folder / "link").symlink_to(outside, target_is_directory=True)
    (folder / "sub" / "file").chmod(stat.S_IRUSR)
    (folder / "sub").chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert [path.name for path in walk_files(folder)] == ["link", "file"]
    remove_tree(folder)
    assert not folder.exists()
    assert (outside / "keep").exists()
    remove_tree(folder)  # nothing there is fine
