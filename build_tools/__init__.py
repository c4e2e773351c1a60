"""The onnxforge builder: ONNX from source, in one command, into wheels you can prove.

Run it as ``python -m build_tools <verb> [options]``; ``nox -s build`` does so in an environment of
its own.
"""
