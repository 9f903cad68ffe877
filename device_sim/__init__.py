"""The other half of Tillgate: payment terminals that live in memory, from the flash cell to the merchant.

``terminal`` is the pure device machine (time, chance and flash are arguments), ``radio`` the shaped 4G link, ``swarm`` runs
thousands of them with real MQTT sessions. Shares only ``gateway.wire``, ``gateway.trust`` and ``gateway.errors`` with the
gateway, so it cannot inherit a fault of the core that it tests.
"""
