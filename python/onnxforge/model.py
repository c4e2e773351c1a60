"""Models as they stand in their files: load, check, infer shapes, convert, save."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, TypeAlias

from . import _core

if TYPE_CHECKING:
    from .description import Summary


class SupportsSerialize(Protocol):
    """An `onnx.ModelProto`, of whatever version of onnx: only its bytes are asked for."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Return the model in the wire format of protobuf."""


class Model:
    """An ONNX model. Immutable: what changes a model returns another one.

    Large tensors are read from the model's file when they are needed; external data is
    memory-mapped. Neither file may be changed in place until then; replacing one, as `save` does,
    is no change. A `Session` needs the model's file no more. Made by `load`.
    """

    __slots__ = ("_core",)

    def __init__(self, core: _core.Model) -> None:
        self._core = core

    def check(self, *, full: bool = False) -> None:
        """Hold the model against the ONNX standard; `full` also infers all shapes strictly.

        Raises:
            InvalidModelError: naming the node or value, and the rule it breaks.
        """
        self._core.check(full)

    def infer_shapes(self, *, strict: bool = False, data_propagation: bool = False) -> Model:
        """Return the model with the types of its inner values, as far as they follow.

        `strict` raises InvalidModelError where declared and inferred types contradict each other;
        otherwise what can be inferred is kept. `data_propagation` also follows the values of small
        integer tensors that steer shapes.
        """
        return Model(self._core.infer_shapes(strict, data_propagation))

    def convert_version(self, target_opset: int) -> Model:
        """Return the model in another version of the ai.onnx operator set.

        Raises:
            UnsupportedError: when ONNX has no conversion for an operator of the model.
        """
        return Model(self._core.convert_version(target_opset))

    def save(self, path: str | os.PathLike[str], *, external_data_threshold: int = 0) -> None:
        """Write the model; a file that is there already stays whole until the new one is.

        `external_data_threshold`: tensors of at least that many bytes go to `<name>.data` beside
        the model; 0 keeps everything in one file.

        Raises:
            ModelIOError: when the file cannot be written.
        """
        self._core.save(os.fspath(path), external_data_threshold)

    def serialize(self) -> bytes:
        """Return the model as the bytes of an `onnx.ModelProto`."""
        return self._core.serialize()

    def summary(self) -> Summary:
        """Return the model's interface, operators and size."""
        from .description import summary  # noqa: PLC0415 - most processes never ask

        return summary(self._core.summarize())

    def __repr__(self) -> str:
        facts = self.summary()
        inputs = ", ".join(map(str, facts.inputs))
        outputs = ", ".join(map(str, facts.outputs))
        return f"<onnxforge.Model ({inputs}) -> ({outputs}), {facts.nodes} nodes>"


ModelSource: TypeAlias = (
    "Model | str | os.PathLike[str] | bytes | bytearray | memoryview | SupportsSerialize"
)
"""What a model may be given as: loaded, a path, the bytes of a file, or an onnx.ModelProto."""


def load(source: ModelSource, *, base_dir: str | os.PathLike[str] = "") -> Model:
    """Load a model from a path, from bytes, or from an `onnx.ModelProto`.

    External data is looked for beside the file, or, for bytes and protos, in `base_dir`; a model
    cannot reach outside that folder.

    Raises:
        ModelIOError: when a file cannot be read.
        InvalidModelError: when the bytes are not an ONNX model.
        InvalidArgumentError: when `source` is none of these.
    """
    if isinstance(source, Model):
        return source
    if isinstance(source, (str, os.PathLike)):
        return Model(_core.Model.from_path(os.fspath(source)))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Model(_core.Model.from_bytes(bytes(source), os.fspath(base_dir)))
    if hasattr(source, "SerializeToString"):
        return Model(_core.Model.from_bytes(source.SerializeToString(), os.fspath(base_dir)))
    msg = f"a model is a path, bytes or an onnx.ModelProto, not a {type(source).__name__}"
    raise _core.InvalidArgumentError(msg)


def check(model: ModelSource, *, full: bool = False) -> None:
    """`Model.check` of a model that need not be loaded yet."""
    load(model).check(full=full)


def infer_shapes(
    model: ModelSource, *, strict: bool = False, data_propagation: bool = False
) -> Model:
    """`Model.infer_shapes` of a model that need not be loaded yet."""
    return load(model).infer_shapes(strict=strict, data_propagation=data_propagation)


def convert_version(model: ModelSource, target_opset: int) -> Model:
    """`Model.convert_version` of a model that need not be loaded yet."""
    return load(model).convert_version(target_opset)


def save(
    model: ModelSource, path: str | os.PathLike[str], *, external_data_threshold: int = 0
) -> None:
    """`Model.save` of a model that need not be loaded yet."""
    load(model).save(path, external_data_threshold=external_data_threshold)
