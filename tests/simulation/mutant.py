"""A bug planted on purpose: one file of ``tests/mutants`` changes the source of one module as it is imported.

Run as ``python -m tests.simulation.mutant NAME SEEDS``: plays seeds of the simulation against the mutated source until an
invariant breaks, and prints which one at which seed. Nothing of the tree is changed. A mutant whose text is not found exactly
once raises: whoever changes that piece of code moves the bug along.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MUTANTS: Final = ROOT / "tests" / "mutants"


class StaleMutantError(Exception):
    """The text that a mutant changes is not there, or more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One planted bug."""

    name: str
    invariant: str
    """Name of the invariant that it breaks."""
    file: str
    """The module that it changes, from the root of the tree."""
    why: str
    first_seed: int
    """Where the search begins: a seed that found it once."""
    before: str
    after: str

    @property
    def module(self) -> str:
        """Dotted name of the module."""
        return self.file.removesuffix(".py").replace("/", ".")

    def source(self) -> str:
        """The module's text with the bug in it.

        Raises:
            StaleMutantError: ``before`` does not occur exactly once.
        """
        text = (ROOT / self.file).read_text()
        if (count := text.count(self.before)) != 1:
            raise StaleMutantError(f"mutant {self.name}: its text occurs {count} times in {self.file}, not once; mend its file")
        return text.replace(self.before, self.after)


def mutants() -> Iterator[Mutant]:
    """All of them, by name."""
    for path in sorted(MUTANTS.glob("*.toml")):
        yield Mutant(name=path.stem, **tomllib.loads(path.read_text()))


class _Loader(SourceFileLoader):
    """Compiles the mutated text, and leaves the cache of compiled modules alone."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(ROOT / mutant.file))
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """See ``importlib.abc.InspectLoader``."""
        if fullname != self._mutant.module:
            raise ImportError(fullname)
        return compile(self._mutant.source(), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds one module before anybody else does."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        if fullname != self._mutant.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _Loader(self._mutant)
        return spec


def hunt(name: str, seeds: int) -> tuple[int, int, str]:
    """Play up to ``seeds`` seeds against a mutant: how many it took, the seed that broke, and the invariant's name."""
    mutant = next(one for one in mutants() if one.name == name)
    if mutant.module in sys.modules:
        raise StaleMutantError(f"{mutant.module} is imported already: nothing would be changed")
    sys.meta_path.insert(0, _Finder(mutant))
    faults, world = import_module("tests.simulation.faults"), import_module("tests.simulation.world")
    for number in range(seeds):
        seed = (mutant.first_seed + number) % seeds
        broken = world.play(faults.deal(seed)).broken
        if broken is not None:
            return number + 1, seed, broken.invariant.name
    return seeds, -1, ""


if __name__ == "__main__":
    print(*hunt(sys.argv[1], int(sys.argv[2])))  # noqa: T201 - read by the test
