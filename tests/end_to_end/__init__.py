"""The whole program as its users run it: processes, files and topics, held against the reference."""
