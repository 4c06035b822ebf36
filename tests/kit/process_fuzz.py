"""Feed the readers with inputs that atheris makes, guided by coverage: ``process_fuzz.py TARGET RUNS``.

Ends with 0 when all of them have been tried; anything but an error of the package's tree ends it otherwise.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
with atheris.instrument_imports(include=["callback_state"]):
    import fuzz_targets

if __name__ == "__main__":
    target, runs = sys.argv[1:]
    options = ["-max_len=400", "-timeout=10", "-rss_limit_mb=2048", f"-runs={runs}", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options], getattr(fuzz_targets, target))
    atheris.Fuzz()
