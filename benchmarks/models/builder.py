"""The few words that the models beside this file are written in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Feeds = dict[str, Array]


@dataclass(kw_only=True)
class Builder:
    """A graph that grows node by node; values are known by their names."""

    name: str
    opset: int
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; return the name of its output, or the names of several."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add an initialiser."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weight(self, *shape: int, fan_in: int | None = None) -> str:
        """Add random weights that keep the size of what they are multiplied with."""
        scale = np.sqrt(2.0 / (fan_in or shape[0]))
        return self.constant(self.random.standard_normal(shape) * scale)

    def conv(self, x: str, channels: int, filters: int, kernel: int, **attributes: Any) -> str:
        """Add a Conv with a bias, padded so that stride 1 keeps the size."""
        group = attributes.get("group", 1)
        fan_in = channels // group * kernel * kernel
        weights = self.weight(filters, channels // group, kernel, kernel, fan_in=fan_in)
        bias = self.constant(self.random.standard_normal(filters) * 0.1)
        name: str = self.op(
            "Conv",
            *(x, weights, bias),
            kernel_shape=[kernel, kernel],
            pads=[kernel // 2] * 4,
            **attributes,
        )
        return name

    def model(
        self, feeds: Feeds, outputs: list[str], domains: dict[str, int] | None = None
    ) -> onnx.ModelProto:
        """Return the checked model with inputs as they are fed."""
        inputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in feeds.items()
        ]
        results = [
            onnx.ValueInfoProto(name=name) if domains else _float_output(name) for name in outputs
        ]
        graph = helper.make_graph(self.nodes, self.name, inputs, results, self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [
            helper.make_opsetid(domain, version) for domain, version in (domains or {}).items()
        ]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _float_output(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
