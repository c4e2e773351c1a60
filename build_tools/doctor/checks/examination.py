"""The examination itself: settings that make no sense, and questions that could not be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.doctor.checks.cmake import about_cmake_args
from build_tools.doctor.model import Check, Finding, fatal, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_tools.doctor.facts import Facts


def _refused(facts: Facts) -> Iterator[Finding]:
    error = facts.resolved.refused
    if error is not None and not about_cmake_args(error):
        yield fatal(error.what, "; ".join(error.looked) or "the settings", *error.fix)
    for text in facts.resolved.warnings:
        yield warning(text, "the environment", "unset it, or correct its name")


def _unanswered(facts: Facts) -> Iterator[Finding]:
    for trouble in facts.troubles:
        yield warning(f"it could not be found out {trouble.question}", trouble.why)


CHECKS = (
    Check(
        identifier="setting-refused",
        title="A setting has a value that cannot be used",
        symptoms=("error: --jobs is not a whole number above 0: 'many'",),
        cause="A variable of the environment, CMAKE_ARGS or pyproject.toml says something "
        "impossible.",
        look="All settings are resolved; those of the command line alone are gone on with.",
        cure="It is an error that names the place and the value.",
        examine=_refused,
    ),
    Check(
        identifier="question-unanswered",
        title="Something could not be found out",
        symptoms=("it could not be found out …",),
        cause="A file that cannot be read, a program that crashes, no folder for temporary files.",
        look="Every question is asked by itself; one that fails ends no other.",
        cure="The reason is told; the rest of the examination stands.",
        examine=_unanswered,
    ),
)
