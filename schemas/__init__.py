"""The ground of Nexus: identifiers, events, transitions, errors, and the sources they come from.

Everything here is a value or a pure function. No module of this package opens a connection, reads the
environment or imports another package of the project.
"""
