"""Real things to run against: a child process that may be killed at any moment, and a Mosquitto under our own configuration.

Used by the tests' fixtures, ``bench`` and ``scripts/demo``. Imports nothing of the gateway or the simulator.
"""
