"""The quick questions, asked by every build before anything is fetched or compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_tools.doctor.basics import basics
from build_tools.doctor.checks import CHECKS
from build_tools.doctor.model import Finding, Severity, preflight_findings
from build_tools.errors import PreflightError
from build_tools.jobs import plan_jobs

if TYPE_CHECKING:
    from build_tools.recipe import Site


def preflight(site: Site, *, engine: bool = True) -> None:
    """Warn of what may go wrong; raises PreflightError for what will, unless it is ruled out.

    ``engine`` says whether the engine is built, or upstream's own package instead.
    """
    config, host, record = site.config, site.context.host, site.context.record
    jobs = plan_jobs(host, config.jobs, site.resolved.origins["jobs"])
    known = basics(site.resolved, host, site.toolchain, site.tools, jobs)
    checks = [check for check in CHECKS if engine or not check.of_engine]
    found = preflight_findings(checks, known)
    ends = [finding for finding in found if finding.severity is Severity.FATAL]
    if ends and config.preflight:
        raise _refusal(ends)
    for finding in found:
        if finding.what != jobs.warning:  # said already, when the jobs were planned
            record.warn(f"{finding.what} [{finding.check}]")


def _refusal(ends: list[Finding]) -> PreflightError:
    first = ends[0]
    more = f", and {len(ends) - 1} more" if len(ends) > 1 else ""
    return PreflightError(
        f"this build will fail: {first.what}{more}",
        looked=[f"{finding.check}: {finding.what}\n{finding.evidence}" for finding in ends],
        fix=[
            *(command for finding in ends for command in finding.fix),
            "nox -s doctor  (everything that is known about this machine)",
            "--no-preflight goes on all the same",
        ],
    )
