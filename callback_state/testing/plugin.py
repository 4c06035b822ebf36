"""Fixtures and a marker for pytest, which loads them by itself.

simulate         :func:`callback_state.testing.simulate`
checkpoint_dir   an empty directory for checkpoints
killed_run       runs a script in a process and kills it at a given moment

@pytest.mark.resumes(epochs=3, steps=4)
def test_my_schedule():
    return MySchedule(0.1)
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: What a test with the marker that makes no callbacks is told.
_NOTHING = (
    "{} returned nothing. A test with @pytest.mark.resumes makes no assertions: it returns the new callbacks "
    "that are to resume. Write, for example, return MySchedule(0.1)."
)

__all__ = ["checkpoint_dir", "killed_run", "simulate"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "resumes(epochs, steps, **options): the function returns new callbacks; they have to resume exactly "
        "wherever they are interrupted (callback_state.testing.assert_resumes_exactly).",
    )


@pytest.fixture
def simulate() -> Callable[..., Any]:
    """:func:`callback_state.testing.simulate`."""
    from . import simulate as function

    return function


@pytest.fixture
def checkpoint_dir(tmp_path: Path) -> Path:
    """An empty directory for checkpoints."""
    path = tmp_path / "ckpt"
    path.mkdir()
    return path


@pytest.fixture
def killed_run(tmp_path: Path) -> Callable[..., list[str]]:
    """A function ``killed_run(script, *arguments, when="epoch 2", timeout=600)`` that runs and kills a script.

    ``script`` is a file. It runs in a process whose directory is the test's ``tmp_path``. The process is killed
    with SIGKILL as soon as it prints a line that contains ``when``; the line has to be flushed. If ``when`` is
    None, the process ends by itself. After ``timeout`` seconds it is killed in any case.

    Returns:
        The function. It returns the lines that the process has printed. It fails the test if the process ended
        before it printed ``when``, did not end in time, or, without ``when``, ended with an error.
    """

    def run(script: Any, *arguments: Any, when: str | None = None, timeout: float = 600) -> list[str]:
        errors = tmp_path / "killed_run.stderr"
        command = [sys.executable, "-u", os.path.abspath(script), *map(str, arguments)]
        lines, end = [], time.monotonic() + timeout
        with (
            errors.open("w") as stderr,
            subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
        ):
            assert process.stdout is not None
            killer = threading.Timer(timeout, process.kill)
            killer.start()
            try:
                for line in process.stdout:
                    lines.append(line.rstrip("\n"))
                    if when is not None and when in line:
                        process.kill()
                        return lines
                process.wait()
            finally:
                killer.cancel()
        if when is not None or process.returncode:
            late = time.monotonic() >= end
            how = f"did not end within {timeout:g} s" if late else f"ended with {process.returncode}"
            pytest.fail(
                f"{script} {how}"
                f"{'' if when is None else f' and never printed {when!r}'}. Printed: {lines[-5:]}; "
                f"on standard error: {errors.read_text()[-1000:]}"
            )
        return lines

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Test that the callbacks of a function with the marker resume exactly."""
    __tracebackhide__ = True
    marker = pyfuncitem.get_closest_marker("resumes")
    if marker is None:
        return None
    from . import assert_resumes_exactly

    options = dict(marker.kwargs)
    if "steps" in options:
        options["steps_per_epoch"] = options.pop("steps")
    if marker.args or not {"epochs", "steps_per_epoch"} <= options.keys():
        pytest.fail(f"{pyfuncitem.nodeid}: write @pytest.mark.resumes(epochs=..., steps=...)", pytrace=False)
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    def make() -> Any:
        __tracebackhide__ = True
        made = pyfuncitem.obj(**arguments)
        if made is None:
            pytest.fail(_NOTHING.format(pyfuncitem.name), pytrace=False)
        return made

    problem = None
    try:
        assert_resumes_exactly(make, **options)
    except AssertionError as error:  # the traceback of the proof would not help
        problem = str(error)
    if problem is not None:  # outside of the except, or pytest shows both errors
        pytest.fail(problem, pytrace=False)
    return True


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """For two records that differ, show the first difference instead of all their steps.

    Of learning rates, too: pytest would name the first one that is not equal to the last bit.
    """
    module = sys.modules.get(f"{__package__}.simulation.record")
    if module is None or op != "==":
        return None
    if isinstance(left, module.Rates) and isinstance(right, (list, tuple)):
        found: list[str] = left.differences(right)
        return found
    if not (isinstance(left, module.Record) and isinstance(right, module.Record)):
        return None
    return [f"{left!r} == {right!r}", left.difference(right) or "no difference"]
