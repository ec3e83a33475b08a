"""Robots that go to a place."""
