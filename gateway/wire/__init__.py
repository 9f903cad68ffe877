"""What is on the air: messages, their bytes, topics, ranges and the closed lists of words (docs/protocol.md).

The only package, with ``trust``, that the simulator shares. Pure: no clock, no chance, no I/O.
"""
