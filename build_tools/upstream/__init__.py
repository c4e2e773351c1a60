"""Upstream's own ``onnx`` package, any release from 1.13.1 on, built its own way from outside.

``releases`` is the one table of what differs between releases, ``environment`` makes the Python
that runs upstream's build backend, ``make`` runs it, ``metadata`` sets what the wheel requires,
``trial`` imports the wheel under the protobufs it claims to work with, and ``suite`` runs
upstream's own tests.
"""
