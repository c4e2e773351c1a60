"""The bill of materials as CycloneDX 1.6 JSON, and the NOTICE beside it; the same bytes every time.

What CycloneDX has no field for stands in properties named ``onnxforge:…``; how the wheel was made
stands in the formulation. There is no time in it, and its serial number comes from its content.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from build_tools.bill.model import Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from build_tools.bill.model import Component, Materials, Origin, Tool

FILE_NAME = "onnxforge.cdx.json"
NOTICE = "third_party/NOTICE"
"""Not above: upstream's package has a NOTICE of its own there."""

PREFIX = "onnxforge:"
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "onnxforge/bill-of-materials/1")

Bill = dict[str, Any]


def license_member(component: Component) -> str:
    """Return where a component's licence lies, below the wheel's folder of licences."""
    return f"third_party/{component.name}/LICENSE"


def bill_of(name: str, version: str, materials: Materials, binaries: Mapping[str, str]) -> Bill:
    """Return the bill of a package; ``binaries`` has the sha256 of each of its shared objects."""
    purl = f"pkg:pypi/{name}@{version}"
    references = [_reference(origin) for origin in materials.origins]
    files = [_file(member, digest) for member, digest in sorted(binaries.items())]
    components = [_component(component) for component in materials.components]
    refs = [component.ref for component in materials.components]
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "licenses": _licenses(materials.license),
                "purl": purl,
                **({"externalReferences": references} if references else {}),
            },
        },
        "components": [*components, *files],
        "dependencies": _dependencies(purl, refs, [file["bom-ref"] for file in files]),
        "formulation": [_formula(materials)],
    }
    serial = uuid.uuid5(_SPACE, json.dumps(bill, sort_keys=True))
    return {**bill, "serialNumber": f"urn:uuid:{serial}"}


def text_of(bill: Bill) -> bytes:
    """Return a bill as the bytes of its file."""
    return (json.dumps(bill, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def notice_of(name: str, version: str, components: Iterable[Component]) -> bytes:
    """Return the text of NOTICE: what is in the binaries, its licence, and where the text is."""
    lines = [
        f"{name} {version} contains third-party code and data, each under its own licence.",
        "The texts lie in the folders beside this file.",
    ]
    for component in components:
        lines += [
            "",
            f"{component.name} {component.version}".rstrip(),
            f"  {component.use.value}; {component.license}; {license_member(component)}",
        ]
        lines += [f"  {component.purl}"] if component.purl else []
    return ("\n".join(lines) + "\n").encode("utf-8")


def _component(component: Component) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": "data" if component.use is Use.DATA else "library",
        "bom-ref": component.ref,
        "name": component.name,
        "version": component.version,
        "licenses": _licenses(component.license),
        "cpe": component.cpe,
        "purl": component.purl,
        "hashes": _hashes(component.library) if component.library else [],
        "externalReferences": [_reference(origin) for origin in component.origins],
        "properties": _properties(
            {"use": component.use.value, "license-file": license_member(component)}
        ),
    }
    return {name: value for name, value in described.items() if value}


def _reference(origin: Origin) -> dict[str, Any]:
    return {
        "type": "source-distribution",
        "url": origin.url,
        "hashes": _hashes(origin.sha256),
        "comment": f"{origin.filename}, folder {origin.folder or '.'}",
    }


def _file(member: str, digest: str) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{member}",
        "name": member,
        "hashes": _hashes(digest),
    }


def _dependencies(root: str, refs: list[str], files: list[str]) -> list[dict[str, Any]]:
    return [
        {"ref": root, "dependsOn": files},
        *({"ref": file, "dependsOn": refs} for file in files),
        *({"ref": ref} for ref in refs),
    ]


def _formula(materials: Materials) -> dict[str, Any]:
    return {
        "bom-ref": "making",
        "components": [_tool(tool) for tool in materials.making.tools],
        "properties": _properties(materials.making.facts),
    }


def _tool(tool: Tool) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": f"tool:{tool.name}@{tool.version}",
        "name": tool.name,
        "version": tool.version,
    }


def _licenses(expression: str) -> list[dict[str, Any]]:
    if " " in expression:
        return [{"expression": expression}]
    return [{"license": {"id": expression}}]


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": f"{PREFIX}{name}", "value": value} for name, value in values.items()]
