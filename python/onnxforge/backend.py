"""ONNX's backend interface, `onnx.backend.base`, for programs that can use any backend.

    import onnxforge.backend
    outputs = onnxforge.backend.prepare(model).run([array])     # a named tuple, also outputs["y"]

It needs the package onnx, whose interface it is. `Session` does more and needs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._core import InvalidArgumentError, UnsupportedError
from .session import Session

try:
    import onnx
    from onnx import defs, helper
    from onnx.backend import base
except ImportError as error:
    msg = "onnxforge.backend implements an interface of the package onnx: pip install onnx"
    raise ImportError(msg) from error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Backend",
    "BackendRep",
    "is_compatible",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]


class BackendRep(base.BackendRep):
    """A model that is ready to run. Made by `Backend.prepare`."""

    def __init__(self, model: onnx.ModelProto, session: Session) -> None:
        self.session = session
        self._all_inputs = [value.name for value in model.graph.input]

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Run the model once.

        Args:
            inputs: by position (a list or tuple: those without a default, or all of them), by name
                (a mapping), or, for a model with one input, the value itself.
            kwargs: none are known.

        Returns:
            The outputs by position; the tuple also takes their names.

        Raises:
            InvalidArgumentError: for inputs that do not fit the model.
        """
        if kwargs:
            msg = f"run takes no options, and was given {', '.join(sorted(kwargs))}"
            raise InvalidArgumentError(msg)
        found = self.session.run(self._by_name(inputs))
        names = tuple(found)
        outputs: tuple[Any, ...] = base.namedtupledict("Outputs", names)(*found.values())
        return outputs

    def _by_name(self, inputs: Any) -> Mapping[str, Any]:
        if isinstance(inputs, dict):
            return inputs
        required = [value.name for value in self.session.inputs]
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        names = required if len(inputs) == len(required) else self._all_inputs
        if len(inputs) > len(names) or len(inputs) < len(required):
            msg = (
                f"the model takes {len(required)} inputs ({', '.join(required)}), not {len(inputs)}"
            )
            raise InvalidArgumentError(msg)
        return dict(zip(names, inputs, strict=False))


class Backend(base.Backend):
    """onnxforge as a backend; options of `prepare` are those of `Session`: threads, tier, …"""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Say whether models run on a device: "CPU", and no other."""
        return device.partition(":")[0] == "CPU"

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Say whether everything the model asks for is there."""
        try:
            cls.prepare(model, device, **kwargs)
        except UnsupportedError:
            return False
        return True

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> BackendRep:
        """Compile a model.

        Raises:
            UnsupportedError: for a device other than the CPU, or an operator that is missing.
            InvalidModelError: when the model breaks the standard.
        """
        if not cls.supports_device(device):
            msg = f"models run on the device CPU, not on {device!r}"
            raise UnsupportedError(msg)
        return BackendRep(model, Session(model, **kwargs))

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one node.

        Args:
            node: with its attributes.
            inputs: by position, for the inputs that are not left out, or by name.
            device: "CPU".
            outputs_info: element type and shape of each output, where they are known.
            kwargs: `opset_version` (newest if not given), and the options of `prepare`.
        """
        opset = kwargs.pop("opset_version", None)
        names = [name for name in dict.fromkeys(node.input) if name]
        if not isinstance(inputs, (dict, list, tuple)):
            inputs = [inputs]
        if not isinstance(inputs, dict):
            if len(inputs) != len(names):
                msg = f"the node takes {len(names)} inputs ({', '.join(names)}), not {len(inputs)}"
                raise InvalidArgumentError(msg)
            inputs = dict(zip(names, inputs, strict=True))
        model = _model_of(node, inputs, outputs_info, opset)
        return cls.prepare(model, device, **kwargs).run(inputs)


def _model_of(
    node: onnx.NodeProto,
    inputs: Mapping[str, Any],
    outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None,
    opset: int | None,
) -> onnx.ModelProto:
    results = [name for name in node.output if name]
    types = [onnx.TypeProto()] * len(results)
    if outputs_info is not None:
        types = [_tensor_type(np.dtype(dtype), shape) for dtype, shape in outputs_info]
    newest = {"": defs.onnx_opset_version()}
    newest.setdefault(node.domain, _newest_opset(node.domain))
    if opset is not None:
        newest[node.domain] = opset
    graph = helper.make_graph(
        [node],
        node.op_type,
        [helper.make_value_info(name, _type_of(value)) for name, value in inputs.items()],
        [helper.make_value_info(name, kind) for name, kind in zip(results, types, strict=True)],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in newest.items()]
    return helper.make_model(graph, opset_imports=opsets)


def _newest_opset(domain: str) -> int:
    schemas = defs.get_all_schemas()
    return max((s.since_version for s in schemas if s.domain == domain), default=1)


def _type_of(value: Any) -> onnx.TypeProto:
    if isinstance(value, (list, tuple)):
        element = _type_of(value[0]) if value else _tensor_type(np.dtype(np.float32), None)
        return helper.make_sequence_type_proto(element)
    if isinstance(value, dict):
        keys, values = np.asarray(list(value)), np.asarray(list(value.values()))
        kind = helper.np_dtype_to_tensor_dtype(_element_type(keys))
        return helper.make_map_type_proto(kind, _tensor_type(_element_type(values), ()))
    array = np.asarray(value)
    return _tensor_type(_element_type(array), array.shape)


def _element_type(array: np.ndarray[Any, Any]) -> np.dtype[Any]:
    return np.dtype(object) if array.dtype.kind in "OUST" else array.dtype


def _tensor_type(dtype: np.dtype[Any], shape: tuple[int, ...] | None) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), shape)


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
