"""What is taken out of the storage modules on purpose, and the test that turns red each time.

``tests/mutations`` has a table for each module, in a folder for each wing: every sync, rename, order and check, as
a small difference, below its name and its test; ``checker`` stands for a case of the model checker in
test_crashes.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from places import ROOT, TESTS

PACKAGE = ROOT / "callback_state"
CHECKER = "test_crashes.py::test_the_old_or_the_new_checkpoint_is_whole"


@dataclass(frozen=True)
class Mutant:
    """A text of a module (it must be there once), what stands in its place, and the test that notices."""

    name: str
    module: str
    old: str
    new: str
    test: str

    def mutated(self) -> str:
        """The text of the module with the one change. Raises LookupError if the table is out of date."""
        source = (PACKAGE / f"{self.module}.py").read_text(encoding="utf-8")
        found = source.count(f"\n{self.old}")
        if found != 1:
            raise LookupError(f"{self.module}.py has this {found} times, not once:\n{self.old}")
        return source.replace(f"\n{self.old}", f"\n{self.new}")


def table(module: str) -> list[Mutant]:
    """All mutants of a module."""
    text = (TESTS / "mutations" / f"{module}.diff").read_text(encoding="utf-8")
    return [_parsed(module, entry) for entry in text.removeprefix("== ").split("\n== ")]


def _parsed(module: str, entry: str) -> Mutant:
    head, *lines = entry.rstrip("\n").splitlines()
    name, test = head.split(": ", 1)
    if test.startswith("checker "):
        test = f"{CHECKER}[{test.removeprefix('checker ')}]"
    file, _, function = test.partition("::")
    [path] = TESTS.rglob(file)
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    return Mutant(name, module, old, new, f"{path.relative_to(TESTS).as_posix()}::{function}")


STORAGE = ("_store/commit", "_store/disk", "_store/pair", "_store/recover", "_store/staging", "_format/statefile")
#: What stands between a file and memory.
READERS = tuple(f"_format/{name}" for name in ("pickles", "table", "limits", "arrays", "generators", "kinds"))
#: The command line.
COMMANDS = tuple(
    f"cli/{name}"
    for name in (
        "commands/prune",
        "runs/direction",
        "runs/recorded",
        "shell/options",
        "shell/output",
        "values/view",
        "values/differences",
        "pictures/series",
    )
)
MUTANTS = {mutant.name: mutant for module in STORAGE + READERS + COMMANDS for mutant in table(module)}
#: Those of the order of calls that the model checker has to notice.
PROTOCOL = [mutant for mutant in MUTANTS.values() if CHECKER in mutant.test]
CHECKS = [mutant for mutant in MUTANTS.values() if mutant not in PROTOCOL]
