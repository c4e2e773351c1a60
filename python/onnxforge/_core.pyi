from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

class Error(Exception): ...
class InvalidModelError(Error, ValueError): ...
class InvalidArgumentError(Error, ValueError): ...
class UnsupportedError(Error, NotImplementedError): ...
class ModelIOError(Error, OSError): ...
class InternalError(Error, RuntimeError): ...

class TypeDict(TypedDict):
    kind: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None
    element: TypeDict | None
    text: str

class IoDict(TypeDict):
    name: str

class SummaryDict(TypedDict):
    ir_version: int
    producer: str
    opsets: list[tuple[str, int]]
    inputs: list[IoDict]
    outputs: list[IoDict]
    operators: list[tuple[str, int]]
    nodes: int
    parameters: int
    parameter_bytes: int

class NodeTimingDict(TypedDict):
    node: str
    op_type: str
    depth: int
    start_ns: int
    duration_ns: int
    output_bytes: int
    in_arena: bool

class ProfileDict(TypedDict):
    total_ns: int
    arena_bytes: int
    unplanned_allocations: int
    nodes: list[NodeTimingDict]

class OperatorDict(TypedDict):
    domain: str
    op_type: str
    since_version: int
    deprecated: bool
    has_function_body: bool
    has_kernel: bool

class BuildInfoDict(TypedDict):
    onnx: str
    protobuf: str
    compiler: str
    tiers: list[str]
    marks: tuple[str, ...]
    passes: list[str]

class Model:
    @staticmethod
    def from_path(path: str) -> Model: ...
    @staticmethod
    def from_bytes(data: bytes, base_dir: str) -> Model: ...
    def check(self, full: bool) -> None: ...
    def infer_shapes(self, strict: bool, data_propagation: bool) -> Model: ...
    def convert_version(self, target_opset: int) -> Model: ...
    def save(self, path: str, external_data_threshold: int) -> None: ...
    def serialize(self) -> bytes: ...
    def summarize(self) -> SummaryDict: ...

class DlpackTensor:
    def __init__(self, array: Any) -> None: ...
    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: object = None,
        copy: bool | None = None,
    ) -> object: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

class Session:
    def __init__(
        self,
        model: Model,
        threads: int,
        tier: str,
        optimize: bool,
        disabled_passes: list[str],
        image_decoder: Callable[[bytes, str], np.ndarray[Any, Any] | None] | None,
    ) -> None: ...
    def inputs(self) -> list[IoDict]: ...
    def overridable_inputs(self) -> list[IoDict]: ...
    def outputs(self) -> list[IoDict]: ...
    @property
    def threads(self) -> int: ...
    @property
    def tier(self) -> str: ...
    def run(
        self, inputs: Mapping[str, Any], outputs: Sequence[str], profile: bool
    ) -> tuple[list[Any], ProfileDict | None]: ...

def build_info() -> BuildInfoDict: ...
def operators() -> list[OperatorDict]: ...
