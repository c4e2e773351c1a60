"""Models with the kinds of nodes that exporters write, and random weights from a fixed seed.

One file per model: ``build()`` returns it together with what it is fed.
"""
