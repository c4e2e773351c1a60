"""Examples of how each operator is called, to be rewritten to other element types.

Most are node cases of the standard's suite. Types are named as the standard's schemas do:
"tensor(float)", "seq(tensor(int4))", "map(string, int64)".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, TypeProto, defs, helper, numpy_helper

from tests.conformance.suite import cases
from tests.conformance.test_schemas_without_cases import ML, NODES, X
from tests.python.properties.bits import SUB_BYTE, dtype_of, is_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx.defs import OpSchema

Key = tuple[str, str]
"""Domain and operator."""

NUMBERS = np.array([[1, 2, 3], [0, 5, 4]], np.float32)
IMAGE = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One node and what it is given."""

    node: onnx.NodeProto
    values: dict[str, Any]
    """By name: the inputs of the node, and what its bodies take from outside."""
    types: dict[str, str]
    """By name: what they are declared as."""
    outside: dict[str, str] = field(default_factory=dict)
    """Names that a body takes from outside, with the type parameter that they follow."""
    as_it_is: bool = False
    """Whether attributes and types belong together, so that no type can be another alone."""

    def model(self) -> onnx.ModelProto:
        """The node alone, at the newest operator sets. Outputs are not declared."""
        infos = [
            helper.make_value_info(name, proto_of(self.types[name], value))
            for name, value in self.values.items()
        ]
        results = [helper.make_value_info(name, TypeProto()) for name in self.node.output if name]
        graph = helper.make_graph([self.node], "one_node", infos, results)
        domains = sorted({"", self.node.domain})
        opsets = [helper.make_opsetid(domain, opset_of(domain)) for domain in domains]
        return helper.make_model(graph, opset_imports=opsets, ir_version=onnx.IR_VERSION)

    def with_types(self, types: dict[str, str]) -> Example:
        """Take some inputs as other types."""
        values = {name: value_as(self.values[name], kind) for name, kind in types.items()}
        return replace(self, values=self.values | values, types=self.types | types)

    def with_attribute(self, name: str, value: Any) -> Example:
        """Give an attribute another value."""
        node = onnx.NodeProto()
        node.CopyFrom(self.node)
        del node.attribute[:]
        node.attribute.extend(a for a in self.node.attribute if a.name != name)
        node.attribute.append(helper.make_attribute(name, value))
        return replace(self, node=node)


@functools.cache
def schemas() -> dict[Key, OpSchema]:
    """The newest schema of each operator that is not withdrawn."""
    found: dict[Key, OpSchema] = {}
    for schema in sorted(defs.get_all_schemas_with_history(), key=lambda s: int(s.since_version)):
        found[schema.domain, schema.name] = schema
    return {key: schema for key, schema in found.items() if not schema.deprecated}


@functools.cache
def opset_of(domain: str) -> int:
    """The newest operator set of a domain."""
    return max(int(s.since_version) for (of, _), s in schemas().items() if of == domain)


def inner_of(kind: str) -> str:
    """What is in the brackets of "seq(tensor(float))", and of the likes."""
    return kind[kind.index("(") + 1 : -1]


def code_of(name: str) -> int:
    """The number in files of an element type."""
    return int(helper.np_dtype_to_tensor_dtype(dtype_of(name)))


def name_of(dtype: np.dtype[Any]) -> str:
    """The standard's name of an element type."""
    return TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(dtype)).lower()


def proto_of(kind: str, value: Any = None) -> TypeProto:
    """The type of a name; of a tensor with the shape of the value."""
    inner = inner_of(kind)
    if kind.startswith("tensor("):
        return helper.make_tensor_type_proto(code_of(inner), getattr(value, "shape", None))
    if kind.startswith("seq("):
        return helper.make_sequence_type_proto(proto_of(inner))
    if kind.startswith("optional("):
        return helper.make_optional_type_proto(proto_of(inner))
    key, _, held = inner.partition(", ")
    return helper.make_map_type_proto(code_of(key), proto_of(f"tensor({held})"))


def name_of_proto(proto: TypeProto) -> str:
    """The inverse of `proto_of`, without maps."""
    if proto.HasField("tensor_type"):
        dtype = helper.tensor_dtype_to_np_dtype(proto.tensor_type.elem_type)
        return f"tensor({name_of(dtype)})"
    if proto.HasField("sequence_type"):
        return f"seq({name_of_proto(proto.sequence_type.elem_type)})"
    return f"optional({name_of_proto(proto.optional_type.elem_type)})"


def kind_of(value: Any) -> str:
    """The name of a value's type; of an optional one that of what is in it."""
    if isinstance(value, list):
        return f"seq({kind_of(value[0])})"
    if isinstance(value, dict):
        key, held = next(iter(value.items()))
        names = {int: "int64", str: "string", float: "float"}
        return f"map({names[type(key)]}, {names[type(held)]})"
    return f"tensor({name_of(np.asarray(value).dtype)})"


def value_as(value: Any, kind: str) -> Any:
    """The numbers of a value, as far as another type can hold them."""
    inner = inner_of(kind)
    if kind.startswith("seq("):
        items = value if isinstance(value, list) else [value, value]
        return [value_as(item, inner) for item in items]
    if kind.startswith("optional("):
        return value_as(value, inner)
    if kind.startswith("map("):
        key, _, held = inner.partition(", ")
        made: Any = {"string": str, "int64": int}.get(held, float)
        return {(str if key == "string" else int)(i): made(i + 1) for i in range(3)}
    while isinstance(value, list):
        value = value[0]
    return array_as(np.asarray(value), dtype_of(inner))


def array_as(x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Numbers as the nearest of another type, texts as themselves or as small numbers."""
    if is_text(x.dtype) and not is_text(dtype):
        x = np.arange(x.size).reshape(x.shape)
    if is_text(dtype):
        return np.array([*map(str, x.ravel()), None], object)[:-1].reshape(x.shape)
    if x.dtype.kind == "c":
        x = x.real
    if dtype.kind in "bc":
        return x.astype(dtype)
    wide = x.astype(np.float64)
    if dtype == ml_dtypes.float8_e8m0fnu:  # has neither zero nor signs
        wide = np.abs(wide) + (wide == 0)
    elif "float" not in dtype.name:
        limits: Any = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]
        wide = np.rint(np.clip(np.nan_to_num(wide), int(limits.min), int(limits.max)))
    with np.errstate(invalid="ignore"):  # NaN in a type that has none
        return wide.astype(dtype)


def make(
    op_type: str,
    *inputs: Any,
    outputs: int = 1,
    domain: str = "",
    as_it_is: bool = False,
    **attributes: Any,
) -> Example:
    """An example from values (None: an input left out)."""
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    values = {name: value for name, value in zip(names, inputs, strict=True) if name}
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, names, results, domain=domain, **attributes)
    types = {name: kind_of(value) for name, value in values.items()}
    return Example(node=node, values=values, types=types, as_it_is=as_it_is)


def body(inputs: str, outputs: str, *, given: str) -> onnx.GraphProto:
    """A body whose outputs are what is given, inputs or names from outside. A name is a letter."""
    nodes = [helper.make_node("Identity", [x], [y]) for x, y in zip(given, outputs, strict=True)]
    untyped = [
        [helper.make_value_info(name, TypeProto()) for name in names] for names in (inputs, outputs)
    ]
    return helper.make_graph(nodes, "body", *untyped)


def choice() -> Example:
    """If: both of its bodies give what stands outside of them."""
    bodies = {"then_branch": body("", "y", given="v"), "else_branch": body("", "z", given="v")}
    return Example(
        node=helper.make_node("If", ["c"], ["r"], **bodies),
        values={"c": np.array(True), "v": NUMBERS},
        types={"c": "tensor(bool)", "v": "tensor(float)"},
        outside={"v": "V"},
    )


def layers() -> dict[str, list[Example]]:
    """Recurrent layers, of two steps, two rows, three features and hidden size one."""
    steps = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 2, 3)
    lengths = np.array([1, 2], np.int32)
    weights = {
        name: (np.full((1, gates, 3), 0.5, np.float32), np.full((1, gates, 1), 0.25, np.float32))
        for name, gates in (("GRU", 3), ("LSTM", 4), ("RNN", 1))
    }
    return {
        name: [make(name, steps, *pair, None, lengths, hidden_size=1)]
        for name, pair in weights.items()
    }


def moved(kind: str) -> np.ndarray:
    """NUMBERS of a type."""
    return array_as(NUMBERS, dtype_of(inner_of(kind)))


def types_of(op_type: str, parameter: str, domain: str = "") -> list[str]:
    """The types that a parameter of an operator may be."""
    return sorted(allowed(schemas()[domain, op_type])[parameter])


def allowed(schema: OpSchema) -> dict[str, set[str]]:
    """By type parameter of a schema, the types that it may be."""
    return {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}


def constants() -> list[Example]:
    """Constant with a value of each type."""
    values = [numpy_helper.from_array(moved(kind)) for kind in types_of("Constant", "T")]
    return [make("Constant", as_it_is=True, value=value) for value in values]


def filled() -> list[Example]:
    """ConstantOfShape with a value of each type."""
    kinds = types_of("ConstantOfShape", "T2")
    values = [numpy_helper.from_array(moved(kind).ravel()[:1]) for kind in kinds]
    shape = np.array([2, 3])
    return [make("ConstantOfShape", shape, as_it_is=True, value=value) for value in values]


def bit_casts() -> list[Example]:
    """BitCast from each type to another of the same width, or to itself where there is none."""
    kinds = types_of("BitCast", "T1")
    arrays = [moved(kind) for kind in kinds]
    widths = [SUB_BYTE.get(x.dtype.name, 8 * x.dtype.itemsize) for x in arrays]
    made = []
    for i, (x, width) in enumerate(zip(arrays, widths, strict=True)):
        alike = [j for j, other in enumerate(widths) if other == width]
        to = kinds[alike[(alike.index(i) + 1) % len(alike)]]
        made.append(make("BitCast", x, as_it_is=True, to=code_of(inner_of(to))))
    return made


def labels() -> list[Example]:
    """LabelEncoder from each type to each."""
    made = []
    for source in types_of("LabelEncoder", "T1", ML):
        for target in types_of("LabelEncoder", "T2", ML):
            tensors = {"keys_tensor": source, "values_tensor": target}
            attributes = {
                name: numpy_helper.from_array(moved(kind)[0]) for name, kind in tensors.items()
            }
            default = numpy_helper.from_array(moved(target)[0, :1])
            attributes["default_tensor"] = default
            made.append(make("LabelEncoder", moved(source), domain=ML, as_it_is=True, **attributes))
    return made


def of_maps() -> dict[str, list[Example]]:
    """CastMap and DictVectorizer of each kind of map."""
    casts = [
        make("CastMap", value_as(None, kind), domain=ML, as_it_is=True, cast_to=to)
        for kind in types_of("CastMap", "T1", ML)
        for to in ("TO_FLOAT", "TO_STRING", "TO_INT64")
    ]
    vectors = []
    for kind in types_of("DictVectorizer", "T1", ML):
        words = {"string_vocabulary": ["2", "0"]}
        vocabulary = words if kind.startswith("map(string") else {"int64_vocabulary": [2, 0]}
        made = make("DictVectorizer", value_as(None, kind), domain=ML, as_it_is=True, **vocabulary)
        vectors.append(replace(made, types={"x0": kind}))
    return {"CastMap": casts, "DictVectorizer": vectors}


def ml_nodes() -> dict[str, list[Example]]:
    """Those that are compared with onnxruntime's, and the other words they have for a type."""
    found = {
        name: [make(name, *n.inputs, outputs=len(n.outputs) or 1, domain=ML, **n.attributes)]
        for name, n in NODES.items()
    }
    for name in ("LinearClassifier", "SVMClassifier"):
        (example,) = found[name]
        kept = [a for a in example.node.attribute if a.name != "classlabels_ints"]
        del example.node.attribute[:]
        example.node.attribute.extend(kept)
        found[name] = [
            example.with_attribute("classlabels_ints", [5, 6, 7]),
            example.with_attribute("classlabels_strings", ["a", "b", "c"]),
        ]
    found["ZipMap"].append(
        make("ZipMap", X, domain=ML, as_it_is=True, classlabels_int64s=[1, 2, 3])
    )
    return found | of_maps() | {"Imputer": imputers(), "LabelEncoder": labels()}


def imputers() -> list[Example]:
    """Imputer of each type: whole numbers have an attribute of their own."""
    whole = {"imputed_value_int64s": [1, 2, 3], "replaced_value_int64": 0}
    real = {"imputed_value_floats": [1.0, 2.0, 3.0], "replaced_value_float": 0.0}
    return [
        make("Imputer", moved(kind), domain=ML, as_it_is=True, **(whole if "int" in kind else real))
        for kind in types_of("Imputer", "T", ML)
    ]


def sentences() -> list[Example]:
    """TfIdfVectorizer of each type: the pool has words or whole numbers."""
    counted: dict[str, Any] = {
        "mode": "TF", "min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0,
        "ngram_counts": [0], "ngram_indexes": [0, 1],
    }  # fmt: skip
    pools = {"string": {"pool_strings": ["1.0", "3.0"]}, "int32": {"pool_int64s": [1, 3]}}
    pools["int64"] = pools["int32"]
    return [
        make("TfIdfVectorizer", moved(f"tensor({name})")[0], as_it_is=True, **counted, **pool)
        for name, pool in pools.items()
    ]


def quantized_conv() -> Example:
    """QLinearConv with a bias."""
    scale, zero = np.array(0.5, np.float32), np.array(3, np.uint8)
    x, filters = IMAGE.astype(np.uint8), np.ones((1, 1, 2, 2), np.uint8)
    bias = np.array([7], np.int32)
    return make("QLinearConv", x, scale, zero, filters, scale, zero, scale, zero, bias)


def moving(op_type: str, *inputs: Any) -> Example:
    """Where the nearest element is taken texts are as good as numbers."""
    image = array_as(IMAGE, np.dtype(object))
    return make(op_type, image, *inputs, as_it_is=True, mode="nearest")


@functools.cache
def own() -> dict[str, list[Example]]:
    """Of operators that the suite has no case of, or none with the inputs that show all types."""
    x, pair, second = NUMBERS, [NUMBERS, NUMBERS], np.array(1)
    loop = make("Loop", np.array(2), np.array(True), x, body=body("icv", "dw", given="cv"))
    scan = make("Scan", x[0], x, outputs=2, num_scan_inputs=1, body=body("sx", "tz", given="sx"))
    rois, scales = np.array([[0, 0, 0, 2, 2]], np.float32), np.array([1, 1, 2, 2], np.float32)
    roi = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32)
    grid = np.linspace(-1.5, 1.5, 18, dtype=np.float32).reshape(1, 3, 3, 2)
    signal = np.linspace(0, 1, 8, dtype=np.float32).reshape(1, 8, 1)
    normalized = make("LayerNormalization", x, x[0], x[0], outputs=3)
    examples = {
        "BitCast": bit_casts(),
        "ConcatFromSequence": [make("ConcatFromSequence", pair, axis=0)],
        "Constant": constants(),
        "ConstantOfShape": filled(),
        "DFT": [make("DFT", signal, np.array(4), np.array(1))],
        "GridSample": [make("GridSample", IMAGE, grid), moving("GridSample", grid)],
        "GlobalLpPool": [make("GlobalLpPool", IMAGE)],
        "If": [choice()],
        "LayerNormalization": [normalized, normalized.with_attribute("stash_type", 16)],
        "Loop": [loop],
        "MaxRoiPool": [make("MaxRoiPool", IMAGE, rois, pooled_shape=[2, 2])],
        "Multinomial": [make("Multinomial", x)],
        "Optional": [make("Optional", x)],
        "QLinearConv": [quantized_conv()],
        "RandomNormal": [make("RandomNormal", shape=[2])],
        "RandomNormalLike": [make("RandomNormalLike", x, dtype=TensorProto.FLOAT)],
        "RandomUniform": [make("RandomUniform", shape=[2])],
        "RandomUniformLike": [make("RandomUniformLike", x, dtype=TensorProto.FLOAT)],
        "Resize": [
            make("Resize", IMAGE, roi, scales, mode="linear"),
            moving("Resize", roi, scales),
        ],
        "Scan": [scan],
        "SequenceAt": [make("SequenceAt", pair, second)],
        "SequenceConstruct": [make("SequenceConstruct", x, x)],
        "SequenceErase": [make("SequenceErase", pair, second)],
        "SequenceInsert": [
            make("SequenceInsert", [moved(kind)] * 2, moved(kind), place, as_it_is=True)
            for kind in types_of("SequenceInsert", "T")
            for place in (np.array(1), np.array(0, np.int32))
        ],
        "SequenceLength": [make("SequenceLength", pair)],
        "SequenceMap": [make("SequenceMap", pair, x, body=body("xa", "y", given="x"))],
        "TfIdfVectorizer": sentences(),
    }
    return examples | layers() | ml_nodes()


@functools.cache
def suite() -> dict[Key, Example]:
    """Of each operator the node case that has the most inputs, and outputs among those."""
    found: dict[Key, Example] = {}
    for case in cases():
        graph = case.model.graph
        if len(graph.node) == 1 and case.data_sets and "_expanded" not in case.name:
            example = of_case(graph, case.data_sets[0][0])
            key = (example.node.domain, example.node.op_type)
            if key not in found or sizes(example) > sizes(found[key]):
                found[key] = example
    return found


def sizes(example: Example) -> tuple[int, int]:
    """How much an example shows of its operator."""
    return len(example.values), len(example.node.output)


def of_case(graph: onnx.GraphProto, inputs: Iterable[Any]) -> Example:
    """The node of a case with what it is given, which may be a tensor as it is in files."""
    values = [numpy_helper.to_array(x) if isinstance(x, TensorProto) else x for x in inputs]
    names = [info.name for info in graph.input]
    types = {info.name: name_of_proto(info.type) for info in graph.input}
    return Example(node=graph.node[0], values=dict(zip(names, values, strict=True)), types=types)


def examples_of(key: Key) -> list[Example]:
    """The examples of an operator."""
    return own().get(key[1]) or [suite()[key]]
