"""What a killed training run loses, and what it keeps with this package: ``python -m callback_state.demo``.

A small convolutional network learns scikit-learn's digits (1,797 real images of 8 x 8 pixels) three times: without
an interruption; with :class:`~callback_state.ModelCheckpointEnhanced`, killed in the middle of an epoch and
started again; and with Keras's ``BackupAndRestore``, killed at the same moment and started again. Each training
runs in its own processes, and the kill is a real SIGKILL. The demo compares what the processes print while they
train; it reads no checkpoint. Two of them train at a time. Exit status: 0; 1 if the resumed run is not byte for
byte the uninterrupted one, or if the run with BackupAndRestore is (then there is nothing to show); 2 if a training
process failed, or if Keras's backend is not installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

UNINTERRUPTED, OURS, KERAS = RUNS = ("uninterrupted", "callback_state", "BackupAndRestore")
BACKENDS = ("tensorflow", "jax", "torch")
# On a GPU, JAX and torch compute the same numbers in each run only with the last two.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
# With another seed BackupAndRestore may end later or with a smaller loss: its run is different, not always worse.
SEED, BATCH_SIZE, PEAK_RATE, WARMUP_EPOCHS = 3, 32, 4e-3, 4


def train(run: str, directory: Path, epochs: int, pause: int | None) -> None:
    """Train, in the training process. In the middle of the 0-based epoch ``pause``, if any, wait to be killed."""
    import keras

    from callback_state import ModelCheckpointEnhanced, restore_callbacks

    keras.utils.set_random_seed(SEED)
    be_deterministic()
    training, validation = split(directory.parent / "digits.npz")
    model = build()
    steps = math.ceil(len(training[0]) / BATCH_SIZE)
    stopping = keras.callbacks.EarlyStopping(patience=6, restore_best_weights=True)
    plateau = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=3)
    callbacks = [schedule(WARMUP_EPOCHS * steps, epochs * steps), plateau, stopping]
    callbacks.append(reporter(stopping, plateau, pause))
    first = 0
    if run == OURS:
        callbacks.append(ModelCheckpointEnhanced(str(directory / "{epoch:03d}.keras")))
        restored = restore_callbacks(str(directory), into=callbacks, model=model, missing_ok=True)
        first = restored.initial_epoch
    elif run == KERAS:
        callbacks.append(keras.callbacks.BackupAndRestore(str(directory)))
    options = {"batch_size": BATCH_SIZE, "validation_data": validation, "verbose": 0}
    model.fit(*training, epochs=epochs, initial_epoch=first, callbacks=callbacks, **options)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights()))
    say(best=stopping.best, weights=digest.hexdigest())


def be_deterministic() -> None:
    """Let the backend compute the same numbers in each run. JAX needs no more than ``ENVIRONMENT``."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    elif backend == "torch":
        import torch

        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(1)  # so small a network is slower on more


def write_digits(path: Path) -> None:
    """Write the images and labels, once for all processes: to import scikit-learn takes seconds."""
    import numpy as np
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    np.savez(path, images=images, labels=labels)


def split(path: Path) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Load the images and labels in an order drawn from ``SEED``: (for training, for validation)."""
    import numpy as np

    with np.load(path) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    order = np.random.default_rng(SEED).permutation(len(images))
    images, labels = images[order].reshape(-1, 8, 8, 1).astype("float32") / 16, labels[order]
    count = len(images) // 4
    return (images[count:], labels[count:]), (images[:count], labels[:count])


def build() -> Any:
    """Make and compile the network."""
    import keras
    from keras.layers import Conv2D, Dense, Dropout, Flatten

    convolutions = [Conv2D(16, 3, activation="relu"), Conv2D(32, 3, activation="relu"), Flatten()]
    classifier = [Dropout(0.5), Dense(64, activation="relu"), Dropout(0.5), Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *convolutions, *classifier])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def schedule(warmup: int, total: int) -> Any:
    """Make a callback that sets the learning rate before every batch, as many users write it."""
    import keras

    from callback_state import stateful

    @stateful(key="schedule")
    class WarmupCosine(keras.callbacks.Callback):
        """A linear warm-up, then half a cosine; changes that other callbacks make to the rate become a factor."""

        def __init__(self, warmup: int, total: int) -> None:
            super().__init__()
            self.warmup, self.total = warmup, total
            self.step, self.factor, self.last = 0, 1.0, 0.0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if self.step:
                self.factor *= rate_of(self.model) / self.last  # not 1 after ReduceLROnPlateau has acted
            cosine = (1 + math.cos(math.pi * self.step / self.total)) / 2
            self.step += 1
            self.model.optimizer.learning_rate = PEAK_RATE * self.factor * min(self.step / self.warmup, cosine)
            self.last = rate_of(self.model)

    return WarmupCosine(warmup, total)


def reporter(stopping: Any, plateau: Any, pause: int | None) -> Any:
    """Make a callback that reports to the parent process; it has no state."""
    import keras

    class Reporter(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == self.params["steps"] // 2 and len(self.model.history.epoch) == pause:
                say(pause=pause)
                time.sleep(600)  # the process is killed here, always at the same moment

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            say(epoch=epoch, rate=rate_of(self.model), loss=logs["val_loss"], waits=(stopping.wait, plateau.wait))

    return Reporter()


def rate_of(model: Any) -> float:
    return float(model.optimizer.learning_rate)


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


@dataclass
class Run:
    """What the processes of one run reported; of an epoch, by its 0-based number, the last report counts."""

    name: str
    epochs: dict[int, dict[str, Any]] = field(default_factory=dict)
    killed_in: int | None = None
    moment: Future[int] = field(default_factory=Future)  # the 0-based epoch in which the others are killed
    best: float = math.nan
    weights: str = ""


def watch(run: Run, directory: Path, epochs: int, backend: str, pause: int | None = None) -> None:
    """Start a training process and read its reports; kill it in the middle of the 0-based epoch ``pause``."""
    command = [sys.executable, "-m", "callback_state.demo", "--child", run.name, "--keep", str(directory)]
    command += ["--epochs", str(epochs)] + ([] if pause is None else ["--pause", str(pause)])
    env = {**ENVIRONMENT, **os.environ, "KERAS_BACKEND": backend}
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env) as process:
            for line in process.stdout or ():
                said = json.loads(line)
                if "pause" in said:
                    process.kill()  # SIGKILL: no code of that process runs any more
                    run.killed_in = said["pause"]
                    show(f"{run.name}: killed in the middle of epoch {said['pause'] + 1}\n")
                elif "epoch" in said:
                    run.epochs[said["epoch"]] = said
                    note_moment(run)
                    show(f"{run.name}: epoch {said['epoch'] + 1} rate {said['rate']:.1e} loss {said['loss']:.4f}")
                else:
                    run.best, run.weights = said["best"], said["weights"]
                    show(f"{run.name}: ended by itself after {len(run.epochs)} epochs\n")
        note_moment(run, at_last=True)
        if process.returncode != 0 if pause is None else run.killed_in != pause:
            errors.seek(0)
            print(f"{errors.read()[-4000:]}\nthe process of {run.name!r} failed", file=sys.stderr)
            sys.exit(2)


def show(text: str) -> None:
    """Show progress: on a terminal in one line that is overwritten, elsewhere in a line each."""
    terminal = sys.stdout.isatty()
    print(f"\r\033[K{text}" if terminal else text.rstrip(), end="" if terminal else "\n", flush=True)


def note_moment(run: Run, *, at_last: bool = False) -> None:
    """Find the epoch in which to kill, once it is known: both callbacks wait, and the rate was just reduced."""
    if run.moment.done():
        return
    for epoch, facts in run.epochs.items():
        stopping, plateau = facts["waits"]
        if 0 < plateau < stopping and epoch + 1 in run.epochs:
            run.moment.set_result(epoch + 1)
            return
    if at_last:
        run.moment.set_result(len(run.epochs) // 2)


def table(runs: Sequence[Run]) -> str:
    """The comparison as a text."""
    lines = ["run               epochs run   final learning rate   best value kept   weights identical"]
    for run in runs:
        rate = run.epochs[max(run.epochs)]["rate"]
        same = "" if run is runs[0] else "yes" if run.weights == runs[0].weights else "no"
        lines.append(f"{run.name:16} {len(run.epochs):11} {rate:21.3e} {run.best:17.6f} {same:>19}".rstrip())
    return "\n".join(lines)


def draw(runs: Sequence[Run], path: str) -> None:
    """Draw learning rate and validation loss over epochs; no display is needed."""
    from matplotlib.figure import Figure

    colours, widths, dashes = ("#9ecae1", "#08519c", "#e6550d"), (7, 1.8, 1.8), ("-", "-", (0, (4, 1.5)))
    figure = Figure(figsize=(9, 6), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    for panel, key, label in zip(panels, ("rate", "loss"), ("learning rate", "validation loss"), strict=True):
        for run, colour, width, dash in zip(runs, colours, widths, dashes, strict=True):
            x, y = zip(*((1 + epoch, facts[key]) for epoch, facts in run.epochs.items()), strict=True)
            panel.plot(x, y, color=colour, linewidth=width, linestyle=dash, label=run.name)
        panel.axvline((runs[-1].killed_in or 0) + 0.5, color="#444444", linestyle=":", label="SIGKILL")
        panel.set(yscale="log", ylabel=label)
        panel.grid(color="#eeeeee")
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("epoch")
    figure.suptitle("Killed and started again: callback_state is the same run, BackupAndRestore another one")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=150)


def compare(directory: Path, epochs: int, output: str, backend: str) -> None:
    """Train the three runs, and show the table, the picture and the result."""
    uninterrupted, ours, keras = runs = [Run(name) for name in RUNS]
    write_digits(directory / "digits.npz")

    def interrupt(run: Run) -> None:
        watch(run, directory / run.name, epochs, backend, pause=uninterrupted.moment.result())
        watch(run, directory / run.name, epochs, backend)

    with ThreadPoolExecutor(2) as pool:
        whole = pool.submit(watch, uninterrupted, directory / UNINTERRUPTED, epochs, backend)
        for ended in (whole, *[pool.submit(interrupt, run) for run in (ours, keras)]):
            ended.result()
    draw(runs, output)
    print(f"\n{table(runs)}\n\nThe picture is in {output}")
    if (ours.weights, ours.best, ours.epochs) != (uninterrupted.weights, uninterrupted.best, uninterrupted.epochs):
        sys.exit("FAILED: the run that callback_state resumed differs from the uninterrupted one")
    if keras.weights == uninterrupted.weights:
        sys.exit("FAILED: BackupAndRestore's run is identical too, so this shows nothing")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m callback_state.demo", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--output", default="demo.png", help="the picture (default: %(default)s)")
    parser.add_argument("--backend", choices=BACKENDS, default=BACKENDS[0], help="of Keras (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=40, help="how many at most (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the checkpoints in DIR, which must be new")
    parser.add_argument("--child", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--pause", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        return train(options.child, options.keep, options.epochs, options.pause)
    if find_spec(options.backend) is None:
        line = f"{sys.executable} -m pip install {options.backend}"
        parser.exit(2, f"expected the package {options.backend} for --backend, found none. Type: {line}\n")
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.keep or Path(scratch, "runs")
        directory.mkdir(parents=True)
        compare(directory, options.epochs, options.output, options.backend)


if __name__ == "__main__":
    main()
