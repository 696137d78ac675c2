"""The event log and the tables made from it: one file for each engine that keeps them."""
