"""The doctor: what is on this machine, what a build would use, and what will go wrong with it.

``gather`` finds the facts out, the functions of ``checks`` judge them without touching the machine,
``inventory`` and ``plan`` say what is there and what would be taken. A further way to fail is one
more ``Check`` in a module of ``checks``, one line in its list, and one test of the same name.
"""
