"""Crashes on purpose, on a real broker and a real redis-server, with the real command line in processes."""
