"""What the gateway remembers: the only SQL of the house (docs/architecture.md, "store").

``schema`` names the tables, ``database`` opens the file and hands out transactions, ``writer`` commits what the core decides,
and one module per aggregate (``terminals``, ``packages``, ``campaigns``, ``upgrades``, ``orders``, ``ledger``) asks and answers
in frozen dataclasses. ``progress`` reads a campaign as a whole. ``doorbell`` saves latency and is never relied upon.
"""
