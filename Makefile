# Needs Python 3.10 or newer with venv, bash and make; everything else is installed into .venv, once.
#
#   make demo          kill a training run, resume it, compare: a table and demo.png
#   make test          the tests (ten minutes on two cores)
#   make test-fast     the tests of bytes, storage, callbacks and command line that train nothing (under a minute)
#   make check         ruff, mypy, and the walls of the house: tests/test_imports.py
#   make docs          the documentation, in docs/_build/html, its examples run
#   make test-jax      what holds on every backend, on JAX; make test-torch: on torch (five minutes each)
#   make test-contrib  the adapters of wandb, mlflow, optuna, aim, Comet and tqdm, with the real libraries
#   make oldest        the tests with the oldest supported TensorFlow, Keras and NumPy
#   make matrix        the tests with the oldest and the newest, on every supported Python that is installed
#   make wheel         sdist and wheel in dist/; the wheel runs the demo in an empty environment
#   make heavy         what the tests leave out: the whole product of every matrix (an hour)
#   make heavy-sample  a fixed part of that: one in $(SAMPLE)
#   make bench         the speed and size table, against stock Keras
#   make install       everything that these need
#
# Windows, without make (the demo, then the tests):
#   py -m venv .venv && .venv\Scripts\python -m pip install -e .[demo] && .venv\Scripts\python -m callback_state.demo
#   .venv\Scripts\python -m pip install -e .[test] && .venv\Scripts\python -m pytest

# For its "time", which prints the CPU seconds of all processes.
SHELL = bash
PYTHON = python3
BIN = .venv/bin
# Each process takes a row of neighbouring tests, so that they share what a file compiles once.
PYTEST = $(BIN)/python -m pytest --numprocesses auto --dist worksteal
FAST = tests/format tests/store tests/checkpoints tests/callbacks tests/cli tests/test_imports.py
SAMPLE = 20
# What holds on every backend of Keras: the exactness matrix, processes that die, files, restores.
EACH = tests/backends tests/testing tests/keras/test_model_file.py tests/keras/test_one_pass.py \
	tests/promises/test_beside_process.py tests/promises/test_custom.py tests/promises/test_exact.py \
	tests/promises/test_fits.py tests/promises/test_inside.py tests/promises/test_process.py \
	tests/resuming/test_restore.py tests/saving/test_failing.py tests/saving/test_finish.py \
	tests/saving/test_own.py

.PHONY: demo test test-fast test-jax test-torch test-contrib check docs oldest matrix wheel heavy heavy-sample bench install clean

demo: .venv/demo.stamp
	$(BIN)/python -m callback_state.demo --output demo.png

test: .venv/test.stamp
	time $(PYTEST)

test-fast: .venv/test.stamp
	time $(PYTEST) -m "not heavy and not fit" $(FAST)

check: .venv/dev.stamp
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest tests/test_imports.py

docs: .venv/docs.stamp
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --builder html docs docs/_build/html
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --builder doctest docs docs/_build/doctest

test-jax: .venv/dev.stamp
	time $(BIN)/python -m tox run -e jax -- $(EACH)

test-torch: .venv/dev.stamp
	time $(BIN)/python -m tox run -e torch -- $(EACH)

test-contrib: .venv/dev.stamp
	time $(BIN)/python -m tox run -e contrib

oldest: .venv/dev.stamp
	$(BIN)/python -m tox run -e oldest

matrix: .venv/dev.stamp
	$(BIN)/python -m tox run

wheel:
	.ci/wheel

heavy: .venv/heavy.stamp
	time $(PYTEST) -m heavy
	$(BIN)/python -m tox run -e jax,torch -- -m heavy $(EACH)

heavy-sample: .venv/heavy.stamp
	time $(PYTEST) -m heavy --one-in $(SAMPLE)

bench: .venv/demo.stamp
	$(BIN)/python benchmarks/run.py

install: .venv/demo.stamp .venv/test.stamp .venv/dev.stamp .venv/docs.stamp .venv/heavy.stamp
	$(BIN)/python -m tox run -e oldest,jax,torch,contrib --notest

clean:
	rm -rf .venv .tox build dist *.egg-info

# The package is installed in place: a changed source file needs no new installation, a changed setup.cfg does.
.venv/%.stamp: .venv/made.stamp setup.cfg setup.py pyproject.toml
	$(BIN)/python -m pip install --editable '.[$*]'
	touch $@

.venv/made.stamp:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade pip
	touch $@
