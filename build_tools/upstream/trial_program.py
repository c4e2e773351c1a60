"""Run in a fresh virtual environment, never imported: what upstream's package is for, in one go.

Makes, checks, infers, converts, saves and loads a model through the installed ``onnx``. Prints one
JSON object; fails by an exception. Restricted to what every release since 1.13 has.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import google.protobuf
import numpy as np
import onnx
from onnx import (
    TensorProto,
    checker,
    defs,
    helper,
    numpy_helper,
    shape_inference,
    version_converter,
)


def made_model() -> onnx.ModelProto:
    """Return y = Relu(x·w), float32 x [n,3], w [3,2]."""
    weights = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Relu", ["t"], ["y"])],
        "affine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def refuses(model: onnx.ModelProto) -> bool:
    """Say whether the checker, which is C++, refuses a model with an unknown operator."""
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    broken.graph.node[0].op_type = "NoSuchOperator"
    try:
        checker.check_model(broken)
    except checker.ValidationError:
        return True
    return False


def try_all() -> dict[str, Any]:
    """Go through the package's parts; returns what was seen."""
    model = made_model()
    checker.check_model(model, full_check=True)
    inferred = shape_inference.infer_shapes(model, strict_mode=True)
    (t,) = [value for value in inferred.graph.value_info if value.name == "t"]
    shape = [dim.dim_param or dim.dim_value for dim in t.type.tensor_type.shape.dim]
    if shape != ["n", 2]:
        raise AssertionError(f"the inferred shape of t is {shape}")
    converted = version_converter.convert_version(model, 15)
    if converted.opset_import[0].version != 15:
        raise AssertionError(f"converted to opset {converted.opset_import[0].version}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, str(path))
        if onnx.load(str(path)) != model:
            raise AssertionError("a saved model is loaded as another one")
    if not refuses(model):
        raise AssertionError("the checker accepts an operator that does not exist")
    return {
        "onnx": onnx.__version__,
        "file": onnx.__file__,
        "protobuf": google.protobuf.__version__,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "schemas": len(defs.get_all_schemas_with_history()),
        "opset": defs.onnx_opset_version(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(try_all()) + "\n")
