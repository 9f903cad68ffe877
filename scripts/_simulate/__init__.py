"""Plays thousands of seeds of the deterministic simulation (``tests.simulation``)."""
