"""The tests: the same tree as the code, plus the services they run against."""
