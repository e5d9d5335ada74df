"""Scenario sets as data."""
