"""``tillgate doctor``: looks at everything a gateway stands on, and says what to do about what is not well.

``rounds`` runs the checks beside each other, each with a time limit of its own; ``broker``, ``broker_file``, ``store``,
``host`` and ``keys`` hold them. A check changes nothing, takes no lock, uses no name of the running gateway, and never raises
what it finds: it says so in a ``Finding``.
"""
