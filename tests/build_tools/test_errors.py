"""The error tree: what an error says, and its exit code."""

from __future__ import annotations

import pytest

from build_tools import errors
from build_tools.errors import BuilderError, ConfigError, error_kinds


def test_an_error_says_what_failed_where_was_looked_and_what_to_do():
    error = ConfigError("jobs is 'x'", looked=["environment: x"], fix=["say 2", "or nothing"])
    assert str(error) == (
        "jobs is 'x'\nlooked at:\n  - environment: x\nwhat to do:\n  - say 2\n  - or nothing"
    )


def test_one_fix_may_be_a_plain_text_and_empty_parts_are_left_out():
    assert str(ConfigError("bad", fix="mend it")) == "bad\nwhat to do:\n  - mend it"
    assert str(ConfigError("bad")) == "bad"


def test_a_text_of_several_lines_stays_inside_its_bullet():
    assert "  - first\n    second" in str(BuilderError("x", looked=["first\nsecond"]))


def test_every_kind_has_an_exit_code_of_its_own():
    codes = [kind.exit_code for kind in error_kinds()]
    assert len(set(codes)) == len(codes) == 20
    assert codes == sorted(codes)
    assert not {0, 1, errors.EXIT_INTERNAL, errors.EXIT_INTERRUPTED} & set(codes)


@pytest.mark.parametrize("kind", error_kinds(), ids=lambda kind: kind.__name__)
def test_every_kind_is_described_for_the_table(kind):
    assert kind.__doc__.strip().endswith(".")
    assert kind.__doc__ != BuilderError.__doc__
