"""A run that goes on in another process, as after a real restart."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["go_on_elsewhere"]


def go_on_elsewhere(path: str, *run: Any) -> Any:
    """What :func:`_resumes.go_on` returns, of a process of its own.

    Args:
        path: of the checkpoint.
        run: the arguments of :func:`_go_on`, which get there by cloudpickle.

    Raises:
        AssertionError: and whatever else is raised there.
    """
    import cloudpickle

    with tempfile.TemporaryDirectory() as directory:
        asked, answered = Path(directory, "asked"), Path(directory, "answered")
        asked.write_bytes(cloudpickle.dumps((path, *run)))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-m", __name__, asked, answered], env=environment, capture_output=True, text=True
        )
        if not answered.exists():
            raise RuntimeError(
                f"the process that was to go on ended with {done.returncode}: {done.stderr[-2000:]}"
            )
        result = pickle.loads(answered.read_bytes())  # written by our own process a moment ago
    if isinstance(result, BaseException):
        raise result
    return result


def _go_on(path: str, make: Any, optimizer: Any, plan: Any, point: Any, saved: Any) -> Any:
    from .._snapshot import Snapshot
    from ._resumes import Factory, go_on

    return go_on(Factory(make, optimizer), plan, point, saved, Snapshot.open(path))


def main(asked: str, answered: str) -> None:
    import cloudpickle

    result: Any
    try:
        result = _go_on(*pickle.loads(Path(asked).read_bytes()))
    except Exception as error:  # raised again where the test is
        result = error
    Path(answered).write_bytes(cloudpickle.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
