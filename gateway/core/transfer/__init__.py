"""How one package moves to one terminal.

``window`` knows what is wanted and in flight, ``pacing`` how much may be, ``plan`` in which pieces.
"""
