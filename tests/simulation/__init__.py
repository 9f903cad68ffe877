"""Deterministic simulation: the real core and real terminals' logic under one seeded scheduler (docs/reliability.md)."""
