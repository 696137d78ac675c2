"""Tests of the demo producer."""
