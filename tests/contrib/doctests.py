"""Runs the examples in the docstrings of ``callback_state.contrib``."""

import doctest
import importlib
import sys

from callback_state import contrib

results = {
    name: doctest.testmod(importlib.import_module(f"{contrib.__name__}.{name}")) for name in contrib.__all__
}
sys.exit(not all(result.attempted and not result.failed for result in results.values()))
