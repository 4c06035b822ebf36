# Needs Python 3.10 or newer with venv, and make; everything else is installed into .venv, once.
#
#   make demo    kill a training run, resume it, compare: a table and demo.png
#   make test    the tests (minutes)
#   make check   ruff, mypy, and the test that imports point only downwards
#   make docs    the documentation, in docs/_build/html, its examples run
#   make oldest  the tests with the oldest supported TensorFlow, Keras and NumPy
#   make matrix  the tests with the oldest and the newest, on every supported Python that is installed
#   make heavy   the whole product of the tests' matrices (tens of minutes)
#   make bench   the speed and size table, against stock Keras
#
# Windows, without make (the demo, then the tests):
#   py -m venv .venv && .venv\Scripts\python -m pip install -e .[demo] && .venv\Scripts\python -m callback_state.demo
#   .venv\Scripts\python -m pip install -e .[test] && .venv\Scripts\python -m pytest

PYTHON = python3
BIN = .venv/bin

.PHONY: demo test check docs oldest matrix heavy bench clean

demo: .venv/demo.stamp
	$(BIN)/python -m callback_state.demo --output demo.png

test: .venv/test.stamp
	$(BIN)/python -m pytest --numprocesses auto

check: .venv/dev.stamp
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest tests/test_imports.py

docs: .venv/docs.stamp
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --builder html docs docs/_build/html
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --builder doctest docs docs/_build/doctest

oldest: .venv/dev.stamp
	$(BIN)/python -m tox run -e oldest

matrix: .venv/dev.stamp
	$(BIN)/python -m tox run

heavy: .venv/heavy.stamp
	$(BIN)/python -m pytest -m heavy --numprocesses auto

bench: .venv/demo.stamp
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv build *.egg-info

# The package is installed in place: a changed source file needs no new installation, a changed setup.cfg does.
.venv/%.stamp: .venv/made.stamp setup.cfg setup.py pyproject.toml
	$(BIN)/python -m pip install --editable '.[$*]'
	touch $@

.venv/made.stamp:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade pip
	touch $@
