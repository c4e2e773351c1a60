"""Packages of Debian, of any release and processor, unpacked into a folder and never installed.

A private configuration gives apt its own lists, status and cache, so that neither root's rights nor
a foreign architecture in dpkg is needed, and nothing of the machine changes. apt checks signatures.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_tools.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from build_tools.context import Context

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TIMEOUT = 600.0
# The lists of a release that is not out yet expire after a week, and not every mirror keeps up.
# What they name is signed all the same, and is compiled against and tried with, never installed.
_CONFIGURATION = """\
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
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
        _merge_usr(into)
        # A folder for this call alone: what was fetched before is not to be unpacked, too.
        with tempfile.TemporaryDirectory(prefix="fetched-", dir=self.folder) as name:
            fetched = Path(name)
            if alone:
                self._fetch(["download", *packages], fetched)
            else:
                (fetched / "partial").mkdir()
                archives = f"Dir::Cache::archives={fetched}"
                verb = ["install", "--yes", "--download-only", "--option", archives]
                self._fetch([*verb, *packages], fetched)
            for archive in sorted(fetched.glob("*.deb")):
                self._run(["dpkg-deb", "--extract", archive, into], f"unpack {archive.name}")

    def sources(self, package: str, into: Path) -> Path:
        """Fetch the sources of a package into an empty folder; return upstream's own archive."""
        self._update()
        self._fetch(["source", "--download-only", package], into)
        (archive,) = into.glob("*.orig.tar.?z")
        return archive

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

    def _fetch(self, words: Sequence[str], into: Path) -> None:
        doing = f"fetch {words[-1]} of Debian {self.release}"
        self._run(["apt-get", "--quiet", *words], doing, into)

    def _run(self, command: Sequence[str | Path], doing: str, cwd: Path | None = None) -> None:
        environ = {**self.context.host.environ, "APT_CONFIG": str(self.folder / "apt.conf")}
        environ |= {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        said = self.context.runner.run(
            command, cwd=cwd or self.folder, env=environ, timeout=_TIMEOUT
        )
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
