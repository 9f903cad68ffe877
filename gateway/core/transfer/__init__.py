"""How one package moves to one terminal: what is wanted and in flight (``window``), how much may be (``pacing``), in which pieces (``plan``)."""
