"""Where results go: one promise, one file per place.

`promise` says what every sink keeps; `kafka`, `jsonl` and `memory` keep it; `segments` is the append-only log
under `jsonl`, and `topics` makes and judges the topics that `kafka` writes to.
"""
