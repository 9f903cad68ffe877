"""Keeps it moving: owns every await between the link and the store.

``dispatcher`` turns messages into events, ``executor`` commits effects and then publishes them, ``pump`` moves chunks,
``timers`` brings deadlines, ``campaigns`` and ``orders`` carry out what people asked for. ``sessions`` holds the terminals.
"""
