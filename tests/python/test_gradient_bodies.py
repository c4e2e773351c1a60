"""Gradient through the operators that have bodies: If, Loop and Scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxforge
from tests.python.gradient_checks import check, gradient, model_of, real


def info(name: str, kind: int = TensorProto.DOUBLE) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, None)


def body(
    nodes: list[onnx.NodeProto],
    inputs: list[Any],
    outputs: list[str],
    constants: dict[str, np.ndarray] | None = None,
) -> onnx.GraphProto:
    return helper.make_graph(
        nodes,
        "body",
        [info(x) if isinstance(x, str) else x for x in inputs],
        [helper.make_value_info(x, onnx.TypeProto()) for x in outputs],
        [numpy_helper.from_array(v, n) for n, v in (constants or {}).items()],
    )


def of(op_type: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], **attributes)


def branches() -> dict[str, onnx.GraphProto]:
    return {
        "then_branch": body([of("Mul", "a b", "t"), of("Mul", "t two", "u")], [], ["u"],
                            {"two": np.array(2.0)}),
        "else_branch": body([of("Exp", "a", "t")], [], ["t"]),
    }  # fmt: skip


@pytest.mark.parametrize("condition", [True, False])
@pytest.mark.parametrize("opset", [18, 21, 24])
def test_if(condition, opset):
    nodes = [of("Sin", "x", "a"), helper.make_node("If", ["c"], ["y"], **branches())]
    feeds = {"x": real(3), "b": real(3)}
    check(nodes, feeds, {"c": np.array(condition)}, opset=opset)


def test_if_within_if():
    inner = helper.make_node("If", ["d"], ["r"], **branches())
    outer = body([of("Tanh", "x", "a"), inner, of("Mul", "r x", "s")], [], ["s"])
    other = body([of("Neg", "x", "s")], [], ["s"])
    node = helper.make_node("If", ["c"], ["y"], then_branch=outer, else_branch=other)
    for c, d in ((True, True), (True, False), (False, True)):
        check([node], {"x": real(3), "b": real(3)}, {"c": np.array(c), "d": np.array(d)})


def cell() -> onnx.GraphProto:
    """h, c, x → h, c, y; with matrices from around."""
    nodes = [
        of("MatMul", "h w", "hw"),
        of("Add", "hw x", "sum"),
        of("Tanh", "sum", "h1"),
        of("Mul", "c h1", "ch"),
        of("Add", "ch h", "c1"),
        of("Mul", "c1 x", "y1"),
    ]
    return body(nodes, ["h", "c", "x"], ["h1", "c1", "y1"])


@pytest.mark.parametrize("directions", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("used", ["states", "steps", "all"])
def test_scan(directions, used):
    options = {"scan_input_directions": [directions[0]], "scan_output_directions": [directions[1]]}
    scan = helper.make_node("Scan", ["h0", "c0", "xs"], ["hn", "cn", "ys"],
                            body=cell(), num_scan_inputs=1, **options)  # fmt: skip
    parts = {"states": "hn cn", "steps": "ys", "all": "hn cn ys"}[used]
    flat = [helper.make_node("Reshape", [v, "flat"], [f"{v}.flat"]) for v in parts.split()]
    joined = helper.make_node("Concat", [n.output[0] for n in flat], ["y"], axis=0)
    feeds = {"h0": real(2, 3), "c0": real(2, 3), "xs": real(4, 2, 3), "w": real(3, 3)}
    check([scan, *flat, joined], feeds, {"flat": np.array([-1])})


def test_scan_along_other_axes():
    nodes = [of("Mul", "a b", "ab"), of("Add", "ab s", "s1"), of("Exp", "s1", "y1")]
    scan = helper.make_node(
        "Scan", ["s0", "as", "bs"], ["sn", "y"], body=body(nodes, ["s", "a", "b"], ["s1", "y1"]),
        num_scan_inputs=2, scan_input_axes=[1, -1], scan_output_axes=[1],
    )  # fmt: skip
    check([scan], {"s0": real(2), "as": real(2, 3), "bs": real(2, 3)})


def test_scan_whose_state_comes_to_depend_in_a_step():
    nodes = [of("Mul", "s t", "t1"), of("Add", "t x", "s1"), of("Cast", "n", "f", to=11),
             of("Mul", "s1 f", "y1"), of("Add", "n one", "n1")]  # fmt: skip
    inner = body(nodes, ["s", "t", info("n", TensorProto.INT64), "x"], ["s1", "t1", "n1", "y1"],
                 {"one": np.array(1)})  # fmt: skip
    scan = helper.make_node("Scan", ["s0", "t0", "n0", "x"], ["sn", "tn", "nn", "y"],
                            body=inner, num_scan_inputs=1)  # fmt: skip
    constants = {"s0": np.array([0.5, 2.0]), "t0": np.ones(2), "n0": np.array(3)}
    check([scan], {"x": real(4, 2)}, constants)


def test_a_scan_without_steps():
    scan = helper.make_node("Scan", ["h0", "c0", "xs"], ["y", "cn", "ys"],
                            body=cell(), num_scan_inputs=1)  # fmt: skip
    nodes = [scan, gradient(["h0", "w"], "y", ["dh", "dw"], ["c0", "xs"])]
    feeds = {"h0": real(2, 3), "c0": real(2, 3), "xs": real(0, 2, 3), "w": real(3, 3)}
    found = onnxforge.Session(model_of(nodes, feeds, ["dh", "dw"])).run(feeds)
    np.testing.assert_array_equal(found["dh"], np.ones((2, 3)))
    np.testing.assert_array_equal(found["dw"], np.zeros((3, 3)))


def loop_body() -> onnx.GraphProto:
    """Squares and scales until the sum is above a bound; a step's number counts."""
    nodes = [
        of("Cast", "i", "f", to=11),
        of("Mul", "s s", "ss"),
        of("Mul", "ss w", "sw"),
        of("Add", "sw f", "s1"),
        of("Sin", "s1", "y1"),
        of("ReduceSum", "s1", "total", keepdims=0),
        of("Less", "total bound", "go"),
    ]
    inputs = [info("i", TensorProto.INT64), info("go0", TensorProto.BOOL), "s"]
    return body(nodes, inputs, ["go", "s1", "y1"])


@pytest.mark.parametrize(("trips", "bound"), [(3, 1e9), (9, 20.0), (1, 0.0)])
@pytest.mark.parametrize("used", ["state", "steps"])
def test_loop(trips, bound, used):
    outputs = ["y", "ys"] if used == "state" else ["sn", "y"]
    loop = helper.make_node("Loop", ["m", "c", "s0"], outputs, body=loop_body())
    constants = {"m": np.array(trips), "c": np.array(True), "bound": np.array(bound)}
    feeds = {"s0": np.array([0.9, 0.7]), "w": np.array([0.8, 1.1])}
    check([loop], feeds, constants)


@pytest.mark.parametrize("outputs", [["s1"], ["s1", "t1", "s1"]])
def test_another_number_of_outputs_than_the_body_has(outputs):
    inner = body([of("Add", "s x", "s1"), of("Mul", "t x", "t1")], ["s", "t", "x"], outputs)
    scan = helper.make_node("Scan", ["s0", "t0", "x"], ["y"], body=inner, num_scan_inputs=1)
    nodes = [scan, gradient(["x"], "y", ["d"], ["s0", "t0"])]
    feeds = {"s0": real(2), "t0": real(2), "x": real(3, 2)}
    with pytest.raises(onnxforge.Error, match="outputs"):
        onnxforge.Session(model_of(nodes, feeds, ["d"]))


def test_bodies_of_an_old_opset_are_refused():
    nodes = [helper.make_node("If", ["c"], ["y"], **branches()), gradient(["a"], "y", ["d"], ["b"])]
    feeds = {"a": real(2), "b": real(2), "c": np.array(True)}
    with pytest.raises(onnxforge.Error, match="derivative of If of opset 17, but from opset 18 on"):
        onnxforge.Session(model_of(nodes, feeds, ["d"], opset=17))


def chosen(op_type: str, inputs: str, domain: str = "") -> onnx.NodeProto:
    within = body([of(op_type, inputs, "d", name="within", domain=domain)], [], ["d"])
    other = body([of("Identity", "t", "d")], [], ["d"])
    return helper.make_node("If", ["c"], ["y"], then_branch=within, else_branch=other)


@pytest.mark.parametrize("opset", [20, 21])
def test_a_function_of_another_opset_in_a_body_is_refused(opset):
    nodes = [chosen("Own", "t", "own"), gradient(["t"], "y", ["d"])]
    feeds, constants = {"t": real(3)}, {"c": np.array(True)}
    model = model_of(nodes, feeds, ["d"], constants, opset=opset)
    model.opset_import.append(helper.make_opsetid("own", 1))
    sine = [helper.make_node("Sin", ["a"], ["b"])]
    own = helper.make_function("own", "Own", ["a"], ["b"], sine, [helper.make_opsetid("", 20)])
    model.functions.append(own)
    if opset == 20:
        found = onnxforge.Session(model).run(feeds)["d"]
        np.testing.assert_allclose(found, np.cos(feeds["t"]))
        return
    with pytest.raises(
        onnxforge.Error, match="Own in a body of opset 21, as a function of opset 20"
    ):
        onnxforge.Session(model)


def test_an_operator_without_a_rule_is_named_in_a_body():
    nodes = [chosen("SplitToSequence", "t"), gradient(["t"], "y", ["d"])]
    with pytest.raises(
        onnxforge.Error, match=r"through SplitToSequence \(node 'within'\).*no rule"
    ):
        onnxforge.Session(model_of(nodes, {"t": real(2, 2)}, ["d"], {"c": np.array(True)}))


def test_a_second_derivative_through_a_scan():
    inner = body([of("Mul", "s x", "s1")], ["s", "x"], ["s1"])
    scan = helper.make_node("Scan", ["s0", "x"], ["p"], body=inner, num_scan_inputs=1)
    nodes = [scan, gradient(["x"], "p", ["d"], ["s0"]), gradient(["x"], "d", ["dd"], ["s0"])]
    feeds = {"s0": np.array(1.0), "x": np.array([2.0, 3.0, 5.0])}
    found = onnxforge.Session(model_of(nodes, feeds, ["d", "dd"])).run(feeds)
    np.testing.assert_allclose(found["d"], [15, 10, 6])
    np.testing.assert_allclose(found["dd"], [8, 7, 5])  # of the sum of d
