"""A sample of the standard's own test cases in a folder: what a foreign wheel is tried with.

It is written where onnx is installed, and needs only NumPy where it is run (``sample_program``).
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_tools.errors import ToolchainError
from build_tools.storage import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from build_tools.cache import Cache

SIZE = 300
"""How many node cases it has."""

# The light model that takes least time, and the tolerances of onnx's suite for it.
_LIGHT = "shufflenet"
_LIGHT_TOLERANCES = (1e-3, 1e-7)
# Unseeded draws, what needs another package, and results that the standard's own runner allows no
# rounding for.
_LEFT_OUT: tuple[str, ...] = (
    *("bernoulli", "image_decoder", "dft_inverse", "attention_4d_causal_fp16"),
)


def provide_sample(cache: Cache) -> Path:
    """Return the folder with the sample, written once for each release of onnx."""
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise ToolchainError(
            "wheels cannot be tried without onnx, which has the standard's test cases",
            looked=[str(error)],
            fix="run `nox -s wheels -- --test`, whose environment has it",
        ) from error
    version = str(onnx.__version__)
    inputs = {"size": str(SIZE), "program": sha256_of(Path(__file__))}
    return cache.prefix("sample", version, inputs, write_sample).path


def write_sample(folder: Path) -> None:
    """Write sample.json, arrays.npz and one file per model."""
    numpy = importlib.import_module("numpy")
    arrays: dict[str, Any] = {}
    (folder / "models").mkdir()
    listed = []
    for name, model, feeds, wanted, tolerances in (*_node_cases(), _light_model()):
        (folder / "models" / f"{name}.onnx").write_bytes(model)
        arrays |= {f"{name}/in/{key}": value for key, value in feeds.items()}
        arrays |= {f"{name}/out/{place}": value for place, value in enumerate(wanted)}
        case = {"name": name, "inputs": list(feeds), "outputs": len(wanted)}
        listed.append({**case, "rtol": tolerances[0], "atol": tolerances[1]})
    # Not compressed: a Python that was built without zlib reads it, too.
    numpy.savez(folder / "arrays.npz", **arrays)
    text = json.dumps({"cases": listed}, indent=1)
    (folder / "sample.json").write_text(text, encoding="utf-8")


_Case = tuple[str, bytes, dict[str, Any], list[Any], tuple[float, float]]


def _node_cases() -> Iterator[_Case]:
    """Yield the chosen node cases as plain arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("onnx.backend.test.case.node")
        cases = module.collect_testcases(None)
    usable = [case for case in cases if case.model is not None and _is_usable(case)]
    for case in spread(usable, [_operator(case) for case in usable], SIZE):
        inputs, outputs = case.data_sets[0]
        names = [value.name for value in case.model.graph.input]
        feeds = dict(zip(names, map(_array, inputs), strict=True))
        wanted = [_array(value) for value in outputs]
        yield case.name, case.model.SerializeToString(), feeds, wanted, (case.rtol, case.atol)


def spread(cases: Sequence[Any], groups: Sequence[str], count: int) -> list[Any]:
    """Return ``count`` cases: of every group one, then of every group a second, and so on."""
    rank: defaultdict[str, int] = defaultdict(int)
    ranked = []
    for place, group in enumerate(groups):
        ranked.append((rank[group], place))
        rank[group] += 1
    return [cases[place] for _, place in sorted(ranked)[:count]]


def _light_model() -> _Case:
    """Return a model of a real architecture with the output that onnx's suite expects."""
    onnx, numpy = importlib.import_module("onnx"), importlib.import_module("numpy")
    folder = Path(str(onnx.__file__)).parent / "backend" / "test" / "data" / "light"
    content = (folder / f"light_{_LIGHT}.onnx").read_bytes()
    graph = onnx.ModelProto.FromString(content).graph
    weights = {tensor.name for tensor in graph.initializer}
    (value,) = (value for value in graph.input if value.name not in weights)
    shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
    count = numpy.prod(shape)
    # What the suite feeds it.
    fed = (numpy.arange(count).reshape(shape) / count).astype(numpy.float32)
    expected = onnx.TensorProto.FromString((folder / f"light_{_LIGHT}_output_0.pb").read_bytes())
    return f"light_{_LIGHT}", content, {value.name: fed}, [_array(expected)], _LIGHT_TOLERANCES


def _is_usable(case: Any) -> bool:
    """Say whether a case has one data set of arrays that any NumPy reads."""
    if any(word in case.name for word in _LEFT_OUT) or len(case.data_sets) != 1:
        return False
    inputs, outputs = case.data_sets[0]
    return len(inputs) == len(case.model.graph.input) and _are_plain([*inputs, *outputs])


def _are_plain(values: Iterable[Any]) -> bool:
    tensor, ndarray = importlib.import_module("onnx").TensorProto, _numpy_array()
    kinds = (value for value in values)
    return all(isinstance(value, (tensor, ndarray)) and _is_builtin(value) for value in kinds)


def _is_builtin(value: Any) -> bool:
    """Say whether an array's type is NumPy's own, and neither an object nor from elsewhere."""
    dtype = _array(value).dtype
    return dtype.isbuiltin == 1 and dtype.kind in "biufc"


def _array(value: Any) -> Any:
    onnx = importlib.import_module("onnx")
    if isinstance(value, onnx.TensorProto):
        return importlib.import_module("onnx.numpy_helper").to_array(value)
    return importlib.import_module("numpy").asarray(value)


def _numpy_array() -> Any:
    return importlib.import_module("numpy").ndarray


def _operator(case: Any) -> str:
    nodes = case.model.graph.node
    return str(nodes[0].op_type) if len(nodes) == 1 else f"{len(nodes)} nodes"
