"""Where things are: the repository, its tests, what they share, the files of every writer."""

import os
from pathlib import Path

KIT = Path(__file__).resolve().parent
TESTS = KIT.parent
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"

#: Of a process that a test starts: it finds the package and the kit.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(KIT)]), "TF_CPP_MIN_LOG_LEVEL": "3"}
