"""Tillgate's gateway: keeps MQTT sessions with payment terminals and upgrades them.

The packages are layers, top to bottom (docs/architecture.md): ``cli``, ``runtime``, the doors (``api``, ``link``),
``services`` and ``engine``, ``store`` and ``packages``, ``core`` and ``trust``, ``wire``, ``config`` and ``log``, ``errors``.
"""
