"""What needs the libraries of other backends is collected where "make test-jax" or "make test-torch" has them."""

import os
from importlib.util import find_spec

NAMES = ("buffers", "crossing", "state_of_data", "table", "told", "without_tensorflow")
collect_ignore = [] if find_spec("grain") else [f"test_{name}.py" for name in NAMES]
if os.environ.get("KERAS_BACKEND") != "jax":
    collect_ignore += ["test_processes.py", "test_sync.py"]
if os.environ.get("KERAS_BACKEND") != "torch":
    collect_ignore += ["test_buffers.py"]
