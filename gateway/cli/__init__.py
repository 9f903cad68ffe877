"""The command ``tillgate``: what an operator types. It talks HTTP to a running gateway as any backend does.

``app`` puts the commands together and turns every failure into one line; one module per group of commands. Only ``setup`` (init
and serve) and the building of packages work without a gateway. Commands import what they need when they run, so ``--help``
answers at once.
"""
