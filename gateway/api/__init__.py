"""The HTTP door, ``/api/v1``: parse, call a service, shape the answer. No decision is made here and no SQL is known.

``app`` composes, ``guard`` keeps strangers out, ``problems`` shapes every failure, ``server`` listens. One module of routes
and one of models per thing that one may ask about; ``streams`` carries server-sent events.
"""
