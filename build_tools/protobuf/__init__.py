"""protobuf: found or built, chosen for reasons, and proved before anything relies on it.

``search`` yields candidates, ``describe`` turns one into a frozen value by probing it, ``choose``
picks one without touching the machine, ``provide`` puts them together and builds what is missing.
"""
