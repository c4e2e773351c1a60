"""A wheel's own record of how it was made: compared with what is here, and made into a command."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_tools.bill.making import ENGINE, FLAGS, SETTING, UNTOLD, UPSTREAM
from build_tools.bill.read import read_bills
from build_tools.config import settings
from build_tools.errors import ReproduceError
from build_tools.sources import option_name
from build_tools.toolchain.model import FLAG_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from build_tools.bill.model import Making
    from build_tools.wheel_file import WheelFile

# What is set again by the command, or follows from what is compared.
_NEEDED = {"kind", "target", "python", "lock", "compiler", "source date"}
_COMPONENTS = {"protobuf", "onnx"}
_NOT_COMPARED = ("compile flags", FLAGS, SETTING, "source date")


@dataclass(frozen=True, kw_only=True)
class WheelRecord:
    """What a wheel says of how it was made."""

    kind: str
    """Which kind of wheel it is, i.e. which verb makes it."""

    versions: Mapping[str, str]
    """The versions of its components, by name."""

    making: Mapping[str, str]
    """The facts of its making."""

    tools: Mapping[str, str]
    """The programs that took part, with their versions."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it was made with; of a stranger's record no others are believed."""
        flags = {
            name: self.making[f"{FLAGS}{name}"]
            for name in FLAG_VARIABLES
            if f"{FLAGS}{name}" in self.making
        }
        return {**flags, "SOURCE_DATE_EPOCH": self.making["source date"]}


def record_of(wheel: WheelFile) -> WheelRecord:
    """Return a wheel's record; raises ReproduceError for none or one that cannot be followed."""
    stated = read_bills(wheel)
    versions = {entry.name: entry.version for entry in stated.components}
    if stated.package is not None:
        versions[stated.package.name] = stated.package.version
    kind = stated.making.get("kind", "")
    missing = sorted((_NEEDED - stated.making.keys()) | (_COMPONENTS - versions.keys()))
    if missing or kind not in {ENGINE, UPSTREAM}:
        raise ReproduceError(
            f"{wheel.path.name} does not say how it was made",
            looked=[
                f"its bills of materials: {', '.join(stated.files) or 'none'}",
                f"not said: {', '.join(missing) or 'which kind of wheel it is'}",
            ],
            fix="only wheels that this builder has made carry their record",
        )
    target = stated.making["target"]
    if target != "native":
        raise ReproduceError(
            f"{wheel.path.name} was made for another machine, {target}",
            fix=f"nox -s wheels -- --target {target}, and --against to compare the two",
        )
    return WheelRecord(kind=kind, versions=versions, making=stated.making, tools=stated.tools)


def differences_here(record: WheelRecord, here: Making) -> Iterator[str]:
    """Yield what the wheel was made with and this machine and this tree do not have."""
    for name, value in record.making.items():
        if not name.startswith(_NOT_COMPARED) and here.facts.get(name) != value:
            yield f"{name}: it was {value or 'empty'}, here it is {here.facts.get(name)}"
    tools = {tool.name: tool.version for tool in here.tools}
    for name, version in record.tools.items():
        if tools.get(name) != version:
            yield f"{name}: it was {version}, here it is {tools.get(name)}"


def foreign_arguments(record: WheelRecord, own: Mapping[str, str]) -> Iterator[str]:
    """Yield the record's arguments for compiler and CMake that are not the user's ``own``.

    Such an argument can run any program: GCC has -wrapper, CMake has launchers.
    """
    said = {**record.environment, "cmake_args": record.making.get(f"{SETTING}cmake_args", "[]")}
    for name in (*FLAG_VARIABLES, "cmake_args"):
        text = said.get(name, "")
        if text not in ("", "[]", own.get(name, "")):
            yield f"{name}: {text}"


def options_of(record: WheelRecord, folders: Mapping[str, Path]) -> list[str]:
    """Return the options that have a build make the same wheel.

    ``folders`` are those of this run, by the word that stands for each in the record.
    """
    family, *_ = record.making["compiler"].split()
    options = ["--compiler", family]
    options += ["--protobuf-version", record.versions["protobuf"]]
    options += ["--onnx-version", record.versions["onnx"]]
    if record.kind == UPSTREAM:
        options += ["--python", _python(record.making["python"])]
    told = {entry.name for entry in settings()} - UNTOLD
    for name, text in record.making.items():
        field = name.removeprefix(SETTING)
        if name.startswith(SETTING) and field in told:
            options += _option(field, _with_folders(text, folders))
    return options


def _python(text: str) -> str:
    """Return the version of a Python as --python takes it: with a t for a free-threaded one."""
    version, _, soabi = text.partition(" ")
    return version + ("t" if re.search(r"-\d+t-", soabi) else "")


def environment_of(record: WheelRecord, folders: Mapping[str, Path]) -> dict[str, str]:
    """Return the variables that the wheel was made with, with the folders of this run."""
    return {name: _with_folders(value, folders) for name, value in record.environment.items()}


def _option(field: str, text: str) -> list[str]:
    option = option_name(field)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ReproduceError(
            f"the wheel's record of {option} makes no sense: {text!r}", looked=[str(error)]
        ) from error
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    values = value if isinstance(value, list) else [value]
    return [f"{option}={item}" for item in values]


def _with_folders(text: str, folders: Mapping[str, Path]) -> str:
    words = "|".join(re.escape(word) for word in folders)
    return re.sub(words, lambda word: folders[word[0]].as_posix(), text) if words else text
