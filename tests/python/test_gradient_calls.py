"""Gradient through operators that functions define: the standard's, the model's, contributed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxforge
from tests.python.gradient_checks import check, gradient, model_of, node, positive, real


def heads(*extents: int) -> dict[str, np.ndarray]:
    batch, queries, keys = extents
    return {
        "q": real(batch, 2, queries, 3),
        "k": real(batch, 2, keys, 3),
        "v": real(batch, 2, keys, 2),
    }


@pytest.mark.parametrize(
    ("attributes", "extra"),
    [
        ({}, {}),
        ({"is_causal": 1}, {}),
        ({"softcap": 2.0, "scale": 0.3}, {}),
        ({}, {"mask": real(3, 4)}),
    ],
)
@pytest.mark.parametrize("opset", [23, 24])
def test_attention(attributes, extra, opset):
    feeds = {**heads(1, 3, 4), **extra}
    check([node("Attention", list(feeds), **attributes)], feeds, opset=opset)


def test_attention_with_heads_side_by_side_and_a_past():
    feeds = {"q": real(1, 2, 4), "k": real(1, 3, 4), "v": real(1, 3, 4)}
    options = {"q_num_heads": 2, "kv_num_heads": 2}
    check([node("Attention", list(feeds), **options)], feeds, opset=23)
    feeds |= {"pk": real(1, 2, 2, 2), "pv": real(1, 2, 2, 2)}
    inputs = ["q", "k", "v", "", "pk", "pv"]
    check([node("Attention", inputs, **options)], feeds, opset=23)


def test_attention_with_a_mask_of_truths():
    constants = {"mask": np.array([[True, False, True, True]] * 3)}
    feeds = heads(1, 3, 4)
    check([node("Attention", [*feeds, "mask"])], feeds, constants, opset=23)


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding(interleaved):
    feeds = {"x": real(1, 2, 3, 4), "cos": real(5, 2), "sin": real(5, 2)}
    places = {"places": np.array([[4, 0, 2]])}
    options = {"interleaved": interleaved}
    check([node("RotaryEmbedding", [*feeds, "places"], **options)], feeds, places, opset=23)


def local(name: str, nodes: list[onnx.NodeProto], inputs: list[str], outputs: list[str],
          attributes: list[str] | None = None) -> onnx.FunctionProto:  # fmt: skip
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, inputs, outputs, nodes, opsets, attributes or [])


def test_functions_of_the_model():
    scaled = onnx.AttributeProto(
        name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT
    )
    leaky = helper.make_node("LeakyRelu", ["p"], ["q"])
    leaky.attribute.append(scaled)
    inner = local("Bend", [helper.make_node("Mul", ["a", "b"], ["p"]), leaky], ["a", "b"], ["q"],
                  ["slope"])  # fmt: skip
    outer = local(
        "Twice",
        [
            helper.make_node("Bend", ["u", "v"], ["m"], domain="own", slope=0.3),
            helper.make_node("Bend", ["m", "u"], ["n"], domain="own", slope=0.1),
        ],
        ["u", "v"],
        ["n", "m"],
    )
    feeds = {"x": real(5), "z": real(5)}
    nodes = [
        helper.make_node("Twice", ["x", "z"], ["first", "second"], domain="own"),
        helper.make_node("Mul", ["first", "second"], ["y"]),
        gradient(["x", "z"], "y", ["dx", "dz"]),
    ]
    model = model_of(nodes, feeds, ["dx", "dz"])
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.extend([inner, outer])
    found = onnxforge.Session(model).run(feeds)
    x, z = feeds["x"], feeds["z"]
    first = x * z * np.where(x * z < 0, 0.3, 1)
    second = first * x
    factor = np.where(second < 0, 0.1, 1)
    y = second * factor * first  # which is of degree 3 in x and of degree 2 in z
    np.testing.assert_allclose(found["dx"], 3 * y / x)
    np.testing.assert_allclose(found["dz"], 2 * y / z)


def test_a_contributed_operator():
    nodes = [
        helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft", alpha=1.5),
        gradient(["x"], "y", ["d"]),
    ]
    feeds = {"x": positive(4)}
    model = model_of(nodes, feeds, ["d"])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    share = 1 / (1 + np.exp(-1.5 * feeds["x"]))
    expected = share + 1.5 * feeds["x"] * share * (1 - share)
    np.testing.assert_allclose(onnxforge.Session(model).run(feeds)["d"], expected)
