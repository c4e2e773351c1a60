"""Packages of Debian, of any release and processor, unpacked into a folder and never installed.

A private configuration gives apt its own lists, status and cache, so that neither root's rights nor
a foreign architecture in dpkg is needed, and nothing of the machine changes. apt checks signatures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from build_tools.context import Context

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TIMEOUT = 600.0
_CONFIGURATION = """\
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::Languages "none";
Dir "{root}";
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::main "-";
Dir::Etc::parts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
"""


class NoDebianError(Exception):
    """Why Debian's packages are not to be had here, in words for a report."""


@dataclass(frozen=True, kw_only=True)
class Debian:
    """One release for one processor."""

    release: str
    """Its code name, e.g. "trixie"."""

    architecture: str
    """Debian's name of the processor, e.g. "arm64"."""

    folder: Path
    """Where apt keeps its lists and what it has fetched."""

    context: Context
    """The machine and the way to run programs."""

    def unpack(self, packages: Sequence[str], into: Path, *, alone: bool = False) -> None:
        """Unpack packages, and unless ``alone`` all they depend on, below ``into``.

        Raises NoDebianError where apt, a mirror or the keyring is missing; NetworkError where
        a package cannot be had.
        """
        self._update()
        if alone:
            found = self._fetch(["download", *packages], self.folder)
            archives = sorted(found.glob("*.deb"))
        else:
            verb = ["install", "--yes", "--download-only", *packages]
            archives = sorted((self._fetch(verb, self.folder) / "cache/archives").glob("*.deb"))
        _merge_usr(into)
        for archive in archives:
            self._run(["dpkg-deb", "--extract", archive, into], f"unpack {archive.name}")

    def sources(self, package: str) -> Path:
        """Return the folder with the source archives of a package."""
        self._update()
        return self._fetch(["source", "--download-only", package], self.folder)

    def _update(self) -> None:
        mirror = find_mirror(self.context)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        configuration = _CONFIGURATION.format(architecture=self.architecture, root=self.folder)
        (self.folder / "apt.conf").write_text(configuration, encoding="utf-8")
        signed = f"[signed-by={_KEYRING}] {mirror} {self.release} main\n"
        lines = f"deb {signed}deb-src {signed}"
        (self.folder / "sources.list").write_text(lines, encoding="utf-8")
        self._run(["apt-get", "--quiet", "update"], f"read the list of Debian {self.release}")

    def _fetch(self, words: Sequence[str], cwd: Path) -> Path:
        self._run(["apt-get", "--quiet", *words], f"fetch {words[-1]} of Debian {self.release}")
        return cwd

    def _run(self, command: Sequence[str | Path], doing: str) -> None:
        environ = {**self.context.host.environ, "APT_CONFIG": str(self.folder / "apt.conf")}
        environ |= {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        said = self.context.runner.run(command, cwd=self.folder, env=environ, timeout=_TIMEOUT)
        if not said.ok:
            raise NetworkError(f"cannot {doing}", looked=[f"{said.command}\n{said.text[-2000:]}"])


def find_mirror(context: Context) -> str:
    """Return the address of the mirror of Debian that the machine's own apt uses."""
    if not _KEYRING.is_file():
        raise NoDebianError(f"there is no {_KEYRING} (the package debian-archive-keyring)")
    shown = context.runner.run(
        [
            *("apt-get", "indextargets", "--format", "$(ORIGIN) $(RELEASE) $(REPO_URI)"),
            "Created-By: Packages",
        ],
        env=context.host.environ,
    )
    if not shown.ok:
        raise NoDebianError("apt-get does not run here")
    # Of a release proper: bookworm, and neither bookworm-updates nor bookworm-security.
    found = re.search(r"^(?:Debian|\$\(ORIGIN\)) [a-z]+ (\S+/debian/?)$", shown.stdout, re.M)
    if found is None:
        raise NoDebianError("apt's sources name no mirror of Debian")
    return found[1]


def _merge_usr(root: Path) -> None:
    """Have /lib and /bin lead into /usr, as the packages of a merged system expect."""
    for name in ("lib", "bin", "sbin"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        link = root / name
        if not link.exists():
            link.symlink_to(f"usr/{name}")
