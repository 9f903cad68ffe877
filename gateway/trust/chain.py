"""The ledger's chain: each entry carries a hash of itself and of the entry before it of the same terminal (docs/adr/0015).

``link_hash`` is what the store writes and what an auditor computes anew. Entries are given as the bytes of their columns, so
that whatever another hand has put into a file can be judged too. Pure: bytes in, belief out.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

#: What stands before the first entry of a chain.
GENESIS: Final = bytes(32)
#: The columns that are hashed, in this order; numbers as decimal text.
COLUMNS: Final = (
    *("seq", "prev_seq", "at_us", "terminal", "campaign", "upgrade"),
    *("actor", "what", "from_state", "to_state", "code", "evidence"),
)


def canonical(columns: Sequence[bytes]) -> bytes:
    """``columns`` (of an entry: see ``COLUMNS``) as one text that no other columns give: ``<length>:<bytes>,`` for each."""
    return b"".join([b"%d:%b," % (len(column), column) for column in columns])


def link_hash(previous: bytes, columns: Sequence[bytes]) -> bytes:
    """The hash of an entry: SHA-256 over the hash of the one before it (``GENESIS`` for the first) and its own columns."""
    return sha256(previous + canonical(columns)).digest()
