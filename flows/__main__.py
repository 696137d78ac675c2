"""`python -m flows` is `nexus`."""

from flows.cli import main

main()
