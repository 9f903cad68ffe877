"""Decides: events in, effects out. Pure: no clock, no chance, no I/O, no logging (docs/architecture.md)."""
