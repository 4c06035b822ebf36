"""A run that goes on in a new process, as after a real restart."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def pickled(*run: Any) -> bytes:
    """Pickle the functions that make callbacks, optimizer and model, and the plan, for another process."""
    import cloudpickle

    data: bytes = cloudpickle.dumps(run)
    return data


def go_on_elsewhere(path: str, run: bytes, point: Any, saved: Any) -> Any:
    """Call :func:`.replay.go_on` in a new process, and raise what it raises there."""
    with tempfile.TemporaryDirectory() as directory:
        asked, answered = Path(directory, "asked"), Path(directory, "answered")
        asked.write_bytes(pickled(path, run, point, saved))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-m", __name__, asked, answered], env=environment, capture_output=True, text=True
        )
        if not answered.exists():
            raise RuntimeError(
                f"the process of the resumed run ended with status {done.returncode}: {done.stderr[-2000:]}"
            )
        (result,) = pickle.loads(answered.read_bytes())  # our own process has just written it
    if isinstance(result, BaseException):
        raise result
    return result


def main(asked: str, answered: str) -> None:
    from ..._checkpoints.snapshot import Snapshot
    from .factory import Factory
    from .replay import go_on

    result: Any
    try:
        path, run, point, saved = pickle.loads(Path(asked).read_bytes())
        make, optimizer, model, plan = pickle.loads(run)
        result = go_on(Factory(make, optimizer, model), plan, point, saved, Snapshot.open(path))
    except Exception as error:  # it is raised again in the process of the test
        result = error
    Path(answered).write_bytes(pickled(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
