"""Every element type that the standard allows an operator, given to the kernel that runs it.

An example of each operator is rewritten: each type parameter of the newest schema becomes each type
that the schema lists, the others staying as they are. What was fed and what came out must be all
that is listed, on the reference tier and on the one that sessions take, which must agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import onnxforge
from tests.conformance.examples import (
    Example,
    Key,
    allowed,
    code_of,
    examples_of,
    inner_of,
    kind_of,
    schemas,
)
from tests.python.kernel_support import TIERS
from tests.python.properties.bits import rounding_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx.defs import OpSchema

APART = {
    "Gradient": "it is run with the graph that it derives: tests/python/test_gradient.py",
    "SequenceEmpty": "an empty list shows no type: tests/python/properties/test_sequences.py",
}
"""Operators of which one node shows no types, and where they are tested."""

UNDEFINED = {
    ("Col2Im", "tensor(string)"): "texts have no sum",
    ("GridSample", "tensor(string)"): "texts have no mean; the nearest is an example of its own",
    ("Resize", "tensor(string)"): "texts have no mean; the nearest is an example of its own",
}
"""What the schemas list although the operator is not defined for it: refused by name."""

TOGETHER = {
    "RMSNormalization": ("T", "V"),  # the result's is V by the schema, and T by its inference
}
"""Parameters that are one type in all that the standard says of them."""

DRAWS = {
    "Bernoulli", "Dropout", "Multinomial",
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
}  # fmt: skip
"""What comes out with other values each time."""

CHOSEN_BY = ("to", "dtype", "output_dtype", "output_datatype")
"""Attributes that say of which type a result is."""


def parameters(names: Any, formal: Any) -> Iterator[tuple[str, str]]:
    """A node's inputs or outputs with the type parameter that each has in the schema."""
    for i, name in enumerate(names):
        if name:
            yield name, formal[min(i, len(formal) - 1)].type_str


def variations(schema: OpSchema, example: Example) -> Iterator[Example]:
    """The example with each parameter as each type, the others as they are."""
    yield example
    if example.as_it_is:
        return
    inputs = dict(parameters(example.node.input, schema.inputs)) | example.outside
    for parameter, kinds in allowed(schema).items():
        together = TOGETHER.get(schema.name, ())
        alike = together if parameter in together else (parameter,)
        names = [name for name in inputs if inputs[name] in alike]
        for kind in sorted(kinds):
            if names:
                yield example.with_types(dict.fromkeys(names, kind))
            else:
                yield from with_result(schema, example, kind)


def with_result(schema: OpSchema, example: Example, kind: str) -> Iterator[Example]:
    """The example with a result of another type, where an attribute says that."""
    for name in CHOSEN_BY:
        if name in schema.attributes:
            yield example.with_attribute(name, code_of(inner_of(kind)))


def seen_in(schema: OpSchema, example: Example, found: dict[str, Any]) -> set[tuple[str, str]]:
    """Type parameters with the types that were fed and came out, which are of one type."""
    inputs = dict(parameters(example.node.input, schema.inputs)) | example.outside
    fed = {(inputs[name], kind) for name, kind in example.types.items() if name in inputs}
    results = dict(parameters(example.node.output, schema.outputs))
    made = {(results[name], kind_of(value)) for name, value in found.items()}
    for parameter, kind in made:
        given = {of for name, of in fed if name == parameter}
        assert not given or given & {kind, f"optional({kind})"}, f"{kind} came out for {given}"
    # What is in an optional is all that there is of it outside.
    return fed | made | {(parameter, f"optional({kind})") for parameter, kind in made}


def is_undefined(key: Key, example: Example) -> bool:
    kinds = example.types.values()
    return not example.as_it_is and any((key[1], kind) in UNDEFINED for kind in kinds)


def run(example: Example) -> dict[str, Any]:
    """The results in the tier that sessions take, which the reference tier confirms."""
    model = example.model()
    plain, fast = (
        onnxforge.Session(model, tier=tier, optimize=False).run(example.values) for tier in TIERS
    )
    for name in fast:
        assert_alike(fast[name], plain[name], values=example.node.op_type not in DRAWS)
    return fast


def assert_alike(found: Any, expected: Any, *, values: bool) -> None:
    """The same types and shapes, and the same values but for rounding."""
    if isinstance(expected, list):
        for pair in zip(found, expected, strict=True):
            assert_alike(*pair, values=values)
        return
    if not isinstance(expected, np.ndarray):
        assert found == expected
        return
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if values and expected.dtype.kind != "O":
        wide = np.complex128 if expected.dtype.kind == "c" else np.float64
        room = 64 * rounding_of(expected.dtype) if is_rounded(expected.dtype) else 0
        with np.errstate(invalid="ignore"):
            pair = found.astype(wide), expected.astype(wide)
        np.testing.assert_allclose(*pair, rtol=room, atol=room)
    elif values:
        assert found.tolist() == expected.tolist()


def is_rounded(dtype: np.dtype[Any]) -> bool:
    return "float" in dtype.name or dtype.kind == "c"


@pytest.mark.parametrize(
    "key", sorted(key for key in schemas() if key[1] not in APART), ids=lambda key: key[1]
)
def test_every_type_has_a_kernel(key: Key) -> None:
    schema = schemas()[key]
    seen: set[tuple[str, str]] = set()
    refused: list[str] = []
    for variation in (v for e in examples_of(key) for v in variations(schema, e)):
        if is_undefined(key, variation):
            with pytest.raises(onnxforge.UnsupportedError, match="is not defined for tensors of"):
                run(variation)
            continue
        try:
            seen |= seen_in(schema, variation, run(variation))
        except onnxforge.Error as error:
            refused.append(f"{sorted(variation.types.items())}: {error}")
    wanted = {(name, kind) for name, kinds in allowed(schema).items() for kind in kinds}
    missing = {(name, kind) for name, kind in wanted - seen if (key[1], kind) not in UNDEFINED}
    assert sorted(missing) == [], "\n".join(refused)
    assert refused == []
