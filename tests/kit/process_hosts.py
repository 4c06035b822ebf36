"""Processes of JAX that train together on this machine; started by hosts.py.

What to run comes as a line of JSON on the standard input: ``processes``, ``port``, ``directory``, ``patience`` in
seconds, and ``options``. Each process is forked from this one, which has imported all libraries and begun no
thread. The answer is a line of JSON: of each process the exit status, negative for a signal, its output, and its
errors. Those that have not ended by then are killed.
"""

import csv
import errno
import hashlib
import json
import os
import random
import runpy
import signal
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import jax
import keras
import numpy as np

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful
from callback_state._keras.weights import digest_of
from callback_state._saving import together
from callback_state._store.stream import Stream

ROWS, BATCH = 48, 8


@stateful
class Trace(keras.callbacks.Callback):
    """A digest of what this process hears and draws."""

    def __init__(self, start):
        super().__init__()
        self.digest = start

    def note(self, *event):
        text = json.dumps([self.digest, event, random.random(), np.random.random()])
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def on_train_batch_end(self, batch, logs=None):
        self.note(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.note(epoch, logs)


class Strike(keras.callbacks.Callback):
    """Strikes some of the processes before a step, which is counted over all epochs."""

    def __init__(self, options, rank):
        super().__init__()
        self.options, self.is_struck = options, rank in options.get("struck", ())

    def on_train_batch_begin(self, batch, logs=None):
        step = ROWS // BATCH * len(self.model.history.epoch) + batch
        if self.is_struck and step == self.options["struck_at"]:
            if self.options["struck_by"] is None:
                raise RuntimeError("struck")
            os.kill(os.getpid(), self.options["struck_by"])


def fail_at(number):
    """Let the disk be full when a part of the model file of this save has been written; the first is number 1."""
    saves, write = 0, Stream.write

    def fail(self, data):
        nonlocal saves
        saves += not hasattr(self, "written")
        self.written = getattr(self, "written", 0) + len(data)
        if saves == number and self.written > 1 << 17:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)

    Stream.write = fail


def begin(rank, processes, port, kind):
    """Join the other processes."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        f"127.0.0.1:{port}", processes, rank, heartbeat_timeout_seconds=10, shutdown_timeout_seconds=5
    )
    if kind == "data":
        distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    else:
        mesh = keras.distribution.DeviceMesh((1, processes), ("batch", "model"))
        layout = keras.distribution.LayoutMap(mesh)
        layout[".*dense/kernel"] = (None, "model")
        layout[".*dense/bias"] = ("model",)
        layout[".*dense_1/kernel"] = ("model", None)
        distribution = keras.distribution.ModelParallel(
            layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False
        )
    keras.distribution.set_distribution(distribution)


def train(rank, processes, port, directory, options):
    """The training script of one process."""
    warnings.simplefilter("error", UserWarning)
    for text in options.get("may_warn", ()):
        warnings.filterwarnings("ignore", text)
    if rank == 0 and "fails_at" in options:
        fail_at(options["fails_at"])
    together.SHARE = options.get("share", together.SHARE)
    if processes > 1:
        begin(rank, processes, port, options["kind"])
    keras.utils.set_random_seed(7)  # the same model everywhere
    numbers = np.random.default_rng(0)
    x = numbers.normal(size=(ROWS, 8)).astype("float32")
    start = keras.initializers.Constant(0.1)  # JAX compiles each random one
    model = keras.Sequential(
        [
            keras.layers.Input((8,)),
            keras.layers.Dense(options.get("width", 12), activation="relu", kernel_initializer=start),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1, kernel_initializer=start),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    if options["kind"] == "data":  # each process has its own rows, order and draws
        x = x + np.float32(rank)
        random.seed(rank)
        np.random.seed(rank)
    place = f"file://{directory}" if options.get("store") else str(directory)
    callbacks = [
        Trace(str(rank) if options.get("differ", True) else ""),
        keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=0.5),
        ModelCheckpointEnhanced(f"{place}/{options['filepath']}", **options.get("saves", {})),
        Strike(options, rank),
        *([keras.callbacks.CSVLogger(directory / "log.csv")] if options.get("log") else ()),
    ]
    restored = restore_callbacks(place, into=callbacks, model=model, missing_ok=True)
    print("BEGINS", restored.epoch, restored.batch, flush=True)
    if rank in options.get("killed", ()):
        signal.setitimer(signal.ITIMER_REAL, options["killed_after"])  # SIGALRM ends the process
    began = time.monotonic()
    history = model.fit(
        x,
        x[:, :1] * x[:, 1:2],
        batch_size=BATCH,
        epochs=options["epochs"],
        verbose=0,
        callbacks=callbacks,
        initial_epoch=restored.initial_epoch,
    )
    log = directory / "log.csv"
    print("SECONDS", time.monotonic() - began, flush=True)
    result = {
        "weights": digest_of(model),
        "history": history.history,
        "trace": callbacks[0].digest,
        "doubts": restored.report.doubts,
        "rows": list(csv.reader(log.open(newline=""))) if log.exists() else None,
    }
    print("RESULT", json.dumps(result), flush=True)


def forked(rank, streams, processes, port, directory, options):
    """The number of a new process that trains."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(streams[0].fileno(), 1)
        os.dup2(streams[1].fileno(), 2)
        if "program" in options:
            os.chdir(directory)
            sys.argv = [options["program"], f"127.0.0.1:{port}", str(processes), str(rank)]
            runpy.run_path(options["program"], run_name="__main__")
        else:
            train(rank, processes, port, Path(directory), options)
        if processes > 1:
            jax.distributed.shutdown()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(children, patience):
    """The exit status of each process, in its order."""
    statuses, until = {}, time.monotonic() + patience
    while len(statuses) < len(children):
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            statuses[child] = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > until:
            until += patience
            for late in set(children) - statuses.keys():
                os.kill(late, signal.SIGKILL)
        else:
            time.sleep(0.01)
    return [statuses[child] for child in children]


if __name__ == "__main__":
    for line in sys.stdin:
        given = json.loads(line)
        patience = given.pop("patience")
        with ExitStack() as files:
            streams = [
                [files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2)]
                for _ in range(given["processes"])
            ]
            statuses = ended([forked(rank, pair, **given) for rank, pair in enumerate(streams)], patience)
            for stream in (stream for pair in streams for stream in pair):
                stream.seek(0)
            found = [[s, *(stream.read() for stream in pair)] for s, pair in zip(statuses, streams, strict=True)]
        print(json.dumps(found), flush=True)
