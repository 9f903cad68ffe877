"""Every decoder of bytes that come from outside.

``read`` of a decoder takes any bytes and says whether they were read or refused; what was read must mean the same after it was
written again. Whatever it raises is a bug. ``tests/property/test_decoders.py`` asks a little of each at every run,
``python -m tests.fuzz`` (``scripts/fuzz``) for as long as one likes. ``seeds`` are well-formed inputs to begin with.
"""

from __future__ import annotations

from typing import Final

from tests.fuzz.air import of_the_air
from tests.fuzz.files import of_files
from tests.fuzz.requests import of_requests

DECODERS: Final = {decoder.name: decoder for decoder in (*of_the_air(), *of_files(), *of_requests())}
