"""Any bytes at all: the readers end, and with nothing but errors of the package's own."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import fuzz_targets
import pytest
from places import KIT

SCRIPT = KIT / "process_fuzz.py"
#: Together a million, in pieces of a minute or two.
PIECES = [("pickled", 125_000)] * 4 + [("table", 125_000)] * 4


@pytest.mark.filterwarnings("ignore")
def test_thousands_of_tables() -> None:
    """Tables of nodes whose kinds exist, and whose parts are anything; nothing else is raised."""
    chance = random.Random(0)
    for _ in range(3000):
        fuzz_targets.table(chance.randbytes(chance.randrange(200)))


@pytest.mark.heavy
@pytest.mark.parametrize(("target", "runs"), PIECES)
def test_a_million_inputs_guided_by_coverage(target: str, runs: int, tmp_path: Path) -> None:
    """atheris looks for inputs that reach what no other has reached: no crash, no hang, no other error."""
    pytest.importorskip("atheris")
    done = subprocess.run(
        [sys.executable, SCRIPT, target, str(runs)], cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tmp_path.glob("crash-*")) == []
