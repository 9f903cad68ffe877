"""What the demo's package holds: files of this machine's Python library, chosen by the seed. Same seed, same bytes."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from random import Random
from typing import Final

LEAST_BYTES: Final = 3_050_000
FILE_MAX_BYTES: Final = 200_000


def collect(folder: Path, seed: int) -> int:
    """Copy files into ``folder`` until they weigh enough; how much they weigh."""
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(path for path in library.glob("*.py") if 0 < path.stat().st_size <= FILE_MAX_BYTES)
    files += sorted(path for path in library.glob("*/*.py") if path.parent.name.isalpha() and path.parent.name != "test")
    Random(seed).shuffle(files)  # the seed is to give the same files again
    folder.mkdir()
    total_bytes = 0
    for number, path in enumerate(files):
        if total_bytes >= LEAST_BYTES:
            break
        shutil.copyfile(path, folder / f"{number:04}-{path.name}")
        total_bytes += path.stat().st_size
    return total_bytes
