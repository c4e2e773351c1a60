"""Run in a fresh environment: packages imported in the order of the arguments, then used in turn.

Each is used twice, first to last and last to first, so that whatever one of them has done to the
process is met by all others. Prints one JSON object; fails by an exception or by the process's end.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def field(number, payload):
    """Encode one field of a protobuf message: a number, or bytes with their length (below 128)."""
    if isinstance(payload, int):
        return bytes([number << 3, payload])
    return bytes([number << 3 | 2, len(payload)]) + payload


def model():
    """Encode y = Add(x, x) for floats of shape [3] as an ONNX model of IR version 8, opset 17."""
    shape = field(2, field(1, field(1, 3)))
    kind = field(2, field(1, field(1, 1) + shape))
    add = field(1, b"x") + field(1, b"x") + field(2, b"y") + field(4, b"Add")
    inputs, outputs = (field(1, name) + kind for name in (b"x", b"y"))
    graph = field(1, add) + field(2, b"g") + field(11, inputs) + field(12, outputs)
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


X = np.array([1, 2, 3], np.float32)


def use_onnxforge(package):
    bytes_of = package.load(model())
    bytes_of.check(full=True)
    return package.Session(model()).run({"x": X})["y"].tolist()


def use_onnx(package):
    loaded = package.load_model_from_string(model())
    package.checker.check_model(loaded, full_check=True)
    inferred = package.shape_inference.infer_shapes(loaded)
    assert inferred.SerializeToString() == model()
    bad = package.load_model_from_string(model().replace(b"Add", b"Adx"))
    try:
        package.checker.check_model(bad)
    except package.checker.ValidationError:
        return [2.0, 4.0, 6.0]
    raise AssertionError("an unknown operator was accepted")


def use_onnxruntime(package):
    session = package.InferenceSession(model(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0].tolist()


def use_sentencepiece(package):
    sink = io.BytesIO()
    lines = [f"the quick brown fox {n} jumps over the lazy dog" for n in range(50)]
    package.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=sink, vocab_size=40, minloglevel=2
    )
    pieces = package.SentencePieceProcessor(model_proto=sink.getvalue())
    text = "the lazy fox"
    assert pieces.decode(pieces.encode(text)) == text
    return [2.0, 4.0, 6.0]


def use_grpc(package):
    def double(request, _context):
        return (np.frombuffer(request, np.float32) * 2).tobytes()

    handler = package.method_handlers_generic_handler(
        "toy", {"Double": package.unary_unary_rpc_method_handler(double)}
    )
    server = package.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with package.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = channel.unary_unary("/toy/Double")(X.tobytes(), timeout=20)
    server.stop(None).wait()
    return np.frombuffer(answer, np.float32).tolist()


def main(names):
    """Import all in order, use all, in order and back."""
    packages = {name: importlib.import_module(name) for name in names}
    results = {}
    for name in [*names, *reversed(names)]:
        results[name] = globals()[f"use_{name}"](packages[name])
    assert all(result == [2.0, 4.0, 6.0] for result in results.values()), results
    versions = {name: getattr(module, "__version__", "") for name, module in packages.items()}
    sys.stdout.write(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
