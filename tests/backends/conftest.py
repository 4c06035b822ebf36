"""What needs the libraries of other backends is collected where "make test-jax" or "make test-torch" has them."""

from importlib.util import find_spec

NAMES = ("crossing", "state_of_data", "table", "told", "without_tensorflow")
collect_ignore = [] if find_spec("grain") else [f"test_{name}.py" for name in NAMES]
