"""Saves while the system refuses single writes; a program, run by test_one_pass.py in processes of its own.

    python faults.py DIRECTORY ENDING ERROR...

For each error (a number of ``errno``, 0 for a write of half the bytes) and each n, a model is saved
and then a second one over it, while the n-th write fails, until n is more than there are writes. Each such
save is a process, and a line of JSON. Needs the library of :func:`compiled`, preloaded.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char directory[4096];
static long calls, failing;
static int error;

/* From now on the n-th write to a file in the directory fails; returns how many there were before. */
long arm(const char *where, long n, int number)
{
    long before = calls;
    strncpy(directory, where, sizeof directory - 1);
    calls = 0, failing = n, error = number;
    return before;
}

static int is_failing(int fd)
{
    char link[64], target[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, target, sizeof target - 1);
    if (!directory[0] || size < 0) return 0;
    target[size] = 0;
    if (strncmp(target, directory, strlen(directory)) != 0) return 0;
    return ++calls == failing;
}

#define NEXT(type, name, ...) ((type (*)(__VA_ARGS__)) dlsym(RTLD_NEXT, #name))
#define REFUSE if (error) { errno = error; return -1; }

ssize_t write(int fd, const void *data, size_t size)
{
    if (is_failing(fd)) { REFUSE size = (size + 1) / 2; }
    return NEXT(ssize_t, write, int, const void *, size_t)(fd, data, size);
}

#define PWRITE(name, offset_type)                                                               \
ssize_t name(int fd, const void *data, size_t size, offset_type offset)                         \
{                                                                                               \
    if (is_failing(fd)) { REFUSE size = (size + 1) / 2; }                                       \
    return NEXT(ssize_t, name, int, const void *, size_t, offset_type)(fd, data, size, offset); \
}
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset_type)                       \
int name(int fd, offset_type size)                        \
{                                                         \
    if (is_failing(fd)) { REFUSE }                        \
    return NEXT(int, name, int, offset_type)(fd, size);   \
}
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)
"""

META: dict[str, Any] = {"epochs": [0, 1], "loss": [2.0, 1.0], "training_args": {"rate": 1e-5}}


def compiler() -> str | None:
    """Why nothing can be preloaded here, or None."""
    if not sys.platform.startswith("linux"):
        return "libraries are preloaded on Linux only"
    return None if shutil.which("cc") else "no C compiler here (cc)"


def compiled(directory: Path) -> Path:
    """A library that lets one write fail."""
    source, library = directory / "faults.c", directory / "faults.so"
    source.write_text(SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def model(seed: int) -> Any:
    """A model of which every variable, the optimizer's too, has a value of its own."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(seed)
    made = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(40), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    )
    made.compile(keras.optimizers.Adam(0.01), keras.losses.MeanSquaredError())
    made.optimizer.build(made.trainable_variables)
    values = np.random.default_rng(seed)
    for variable in (*made.weights, *made.optimizer.variables):
        variable.assign(values.integers(1, 99, variable.shape))
    return made


def save(saved: Any, path: Path) -> None:
    """Save and commit as the package does."""
    import model_files

    from callback_state._format import statefile
    from callback_state._store import commit

    weights_only = path.name.endswith(".weights.h5")
    options: dict[str, Any] = {"weights_only": weights_only, "meta": META}
    with commit.write(
        path,
        lambda staged: model_files.write(saved, staged, **options),
        lambda sha256, size: statefile.seal(("state",), sha256, size),
    ) as written:
        commit.commit(written)


def attempt(path: Path, before: Any, after: Any, n: int, error: int) -> dict[str, Any]:
    """Save a model over another one while the n-th write fails."""
    library = ctypes.CDLL(None)
    save(before, path)
    library.arm(str(path.parent).encode(), n, error)
    try:
        save(after, path)
        outcome = "committed"
    except Exception as refused:
        outcome = f"{type(refused).__name__}: {refused}"
    writes = library.arm(b"", 0, 0)
    return {"error": error, "n": n, "writes": writes, "outcome": outcome}


def in_a_process(function: Callable[[], dict[str, Any]], **known: Any) -> dict[str, Any]:
    """What the function returns in a process of its own, or what that died of: HDF5 leaves it unsound."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, json.dumps(function()).encode())
        ctypes.CDLL(None).exit(0)  # HDF5 writes what it still has; Python's own end takes seconds
    os.close(write)
    _, status = os.waitpid(child, 0)
    with open(read, "rb") as pipe:
        found = pipe.read()
    died = {"died": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {}
    return {**known, **json.loads(found or b'{"outcome": "none"}'), **died}


def main(directory: str, ending: str, *errors: str) -> None:
    import keras

    from callback_state._keras import model_file

    if ending.startswith(".own"):  # as for a model with its own ``save``, too large for the memory
        keras.src.saving.saving_lib.is_memory_sufficient = lambda model: False
        model_file.is_known = lambda model, **options: False
    models = model(1), model(2)
    for error in map(int, errors):
        for n in itertools.count(1):
            path = Path(directory) / str(error) / str(n) / f"m{ending}"
            saved = in_a_process(functools.partial(attempt, path, *models, n, error), error=error, n=n)
            if saved.get("writes", n) < n:
                break
            print(json.dumps(saved), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
