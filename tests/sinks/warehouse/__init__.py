"""Tests of what the warehouse keeps."""
