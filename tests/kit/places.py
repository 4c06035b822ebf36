"""Where things are: the repository, its tests, what they share, the files of every writer."""

from pathlib import Path

KIT = Path(__file__).resolve().parent
TESTS = KIT.parent
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
