"""Fuzzes one decoder in this process with atheris (libFuzzer): ``python -m tests.fuzz.one NAME FOLDER ARGS``.

Started by ``tests.fuzz.__main__``; FOLDER is the corpus, to which the decoder's seeds are added, ARGS are libFuzzer's own.
Needs atheris (``scripts/fuzz`` installs it into an environment of its own).
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gateway", "device_sim", "tomllib", "json", "csv"], enable_loader_override=False):
    from tests.fuzz.decoder import BrokenPromiseError
    from tests.fuzz.decoders import DECODERS

#: The most processor time that one input may take.
INPUT_S = 2.0


def main(name: str, folder: Path, arguments: list[str]) -> None:
    """Never returns; libFuzzer ends the process."""
    decoder = DECODERS[name]
    for seed in decoder.seeds():
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)

    def once(data: bytes) -> None:
        began_s = time.process_time()  # the machine may be busy with other things, or stand still for a while
        decoder.read(data)
        if (took_s := time.process_time() - began_s) > INPUT_S:
            raise BrokenPromiseError(f"{took_s:.1f} s for one input")

    atheris.Setup([f"fuzz {name}", str(folder), f"-max_len={decoder.max_bytes}", *arguments], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
