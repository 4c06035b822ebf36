"""Fixtures and a marker for pytest; loaded by pytest itself, without effect unless they are used.

simulate         :func:`callback_state.testing.simulate`
checkpoint_dir   an empty directory for checkpoints
killed_run       a script in a process of its own, which is killed at a given moment

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

__all__ = ["checkpoint_dir", "killed_run", "simulate"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "resumes(epochs, steps, **options): the function returns callbacks, anew each time; they have to go on "
        "exactly where they were interrupted (callback_state.testing.assert_resumes_exactly).",
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
    """Runs ``killed_run(script, *arguments, when="epoch 2", timeout=600)`` until it prints that; SIGKILL ends it.

    ``script`` is a file; the process runs in the test's ``tmp_path``. ``when`` is part of a line on its standard
    output, which has to be flushed; or None, to let it end. After ``timeout`` seconds it is killed.

    Returns:
        A function as above, which returns the lines printed up to there.

    Raises:
        AssertionError: by that function: the process ended by itself before, or, where it was to end, with an
            error; or it did not end in time.
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
            how = f"had not ended after {timeout:g} s" if late else f"ended with {process.returncode}"
            pytest.fail(
                f"{script} {how}"
                f"{'' if when is None else f' and never printed {when!r}'}. Printed: {lines[-5:]}; "
                f"on standard error: {errors.read_text()[-1000:]}"
            )
        return lines

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """What a function with the marker returns is proved to resume."""
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
    try:
        assert_resumes_exactly(lambda: pyfuncitem.obj(**arguments), **options)
    except AssertionError as error:  # of the proof nothing but its result helps
        pytest.fail(f"{pyfuncitem.nodeid}: {error}", pytrace=False)
    return True


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Two records that differ: the first difference instead of all their steps."""
    module = sys.modules.get(f"{__package__}.simulation.record")
    if module is None or op != "==" or not (isinstance(left, module.Record) and isinstance(right, module.Record)):
        return None
    return [f"{left!r} == {right!r}", left.difference(right) or "no difference"]
