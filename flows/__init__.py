"""The flows: the only readers of the environment, and the only users of Bytewax.

`resolve` and `publish` are each a page of named steps; `wiring` puts the parts together; `cli` is the
command line.
"""
