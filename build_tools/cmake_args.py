"""CMAKE_ARGS, taken apart without losing anything.

``shlex`` eats the backslashes of Windows paths; ``set CMAKE_ARGS="…"`` makes the quotation marks
part of the value. Both are undone here, and what cannot be understood is an error, never dropped.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from build_tools.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_TAKES_VALUE = frozenset({"-D", "-U", "-G", "-A", "-T", "-C"})


def split_cmake_args(text: str, *, backslash_is_literal: bool) -> tuple[str, ...]:
    """Split a CMAKE_ARGS value into the arguments for CMake.

    ``backslash_is_literal`` is true on Windows, where ``\\`` separates folders and only ``"``
    quotes. ``-D X=1`` becomes ``-DX=1``. Raises ConfigError for unbalanced quotation marks and for
    words that are no argument.
    """
    words = _split(_unwrap(text.strip()), backslash_is_literal=backslash_is_literal)
    arguments = tuple(_joined(words))
    for argument in arguments:
        _check(argument, text)
    return arguments


def cmake_definitions(arguments: Sequence[str]) -> dict[str, str]:
    """Return the cache entries that ``-DNAME[:TYPE]=VALUE`` arguments set; the last one wins."""
    entries: dict[str, str] = {}
    for argument in arguments:
        if argument.startswith("-D"):
            name, _, value = argument[2:].partition("=")
            entries[name.partition(":")[0]] = value
    return entries


def _unwrap(text: str) -> str:
    """Take off quotation marks around the whole value when it is a list of arguments."""
    mark, inner = text[:1], text[1:-1]
    if len(text) < 2 or mark not in {'"', "'"} or text[-1] != mark or mark in inner:
        return text
    # One quoted argument with a blank in it is left alone: '"-DX=a b"'.
    return inner if all(word.startswith("-") for word in inner.split()) else text


def _split(text: str, *, backslash_is_literal: bool) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if backslash_is_literal:
        lexer.escape, lexer.quotes = "", '"'
    try:
        return list(lexer)
    except ValueError as error:
        raise ConfigError(
            f"CMAKE_ARGS cannot be split into arguments: {error} in {text!r}",
            fix='close every quotation mark; quote one argument as a whole: "-DNAME=a value"',
        ) from error


def _joined(words: Iterable[str]) -> Iterator[str]:
    """Yield the arguments with separate pairs (``-D NAME=VALUE``) put together, as CMake allows."""
    pending = ""
    for word in words:
        if not pending and word in _TAKES_VALUE:
            pending = word
            continue
        yield pending + word
        pending = ""
    if pending:
        yield pending


def _check(argument: str, text: str) -> None:
    if not argument.startswith("-") or argument in _TAKES_VALUE:
        raise ConfigError(
            f"CMAKE_ARGS contains {argument!r}, which is no argument for CMake",
            looked=[f"CMAKE_ARGS={text}"],
            fix='quote an argument that contains blanks as a whole: "-DNAME=a value"',
        )
    if argument.startswith("-D") and "=" not in argument:
        raise ConfigError(
            f"CMAKE_ARGS contains {argument!r}, which sets nothing",
            looked=[f"CMAKE_ARGS={text}"],
            fix=f"write {argument}=VALUE",
        )
    if argument.startswith(("-A", "-T")) or (argument.startswith("-G") and argument != "-GNinja"):
        raise ConfigError(
            f"CMAKE_ARGS contains {argument!r}, but everything is built with Ninja or with "
            "what --generator names",
            fix=[
                'take it out; --generator "Visual Studio 17 2022" is told the processor by itself',
                "the compiler is chosen with --compiler or CC and CXX",
            ],
        )
