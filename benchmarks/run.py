"""The speed and size of the package, beside what one would use instead: ``python benchmarks/run.py [GROUP ...]``.

Every figure is a ratio or a difference measured in one run, with its budget. The machine may be busy and the
verdicts on time may then be wrong, so they never change the exit code; a state file too large or an import too
many does (1). Where ``orbax-checkpoint`` is installed, it is measured too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("tensorflow", "keras", "numpy", "h5py", "cloudpickle")


@dataclass(frozen=True)
class Row:
    """One line of the table; ``figure`` must not be above ``budget``, if there is one."""

    what: str
    ours: str
    instead: str
    figure: float
    budget: float | None
    unit: str
    fsync: str = ""
    timed: bool = True

    @property
    def good(self) -> bool:
        return self.budget is None or self.figure <= self.budget

    def cells(self) -> list[str]:
        limit = "" if self.budget is None else f"{self.budget:g}{self.unit}"
        figure = f"{self.figure:.3f}" if self.unit == " x" else f"{self.figure:.3g}"
        verdict = "" if self.budget is None else "ok" if self.good else "OVER"
        return [self.what, self.ours, self.instead, self.fsync, figure + self.unit, limit, verdict]


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms" if seconds < 0.1 else f"{1000 * seconds:.0f} ms"


def saves(quick: bool) -> Iterator[Row]:
    """A model of 200 MB, weights and Adam's two slots, against ``keras.callbacks.ModelCheckpoint``.

    To a file per epoch, and over the file of the epoch before: there Keras writes into the old file, which is
    lost if it dies meanwhile, while ours is a new file that takes the old one's place.
    """
    import fits

    model = fits.dense(2048, 2048, 2048, 2048, 2048)
    rounds = 2 if quick else 5
    for ending in (".keras", ".weights.h5"):
        for name, how in (("{epoch}", "new file"), ("model", "old file")):
            is_new = how == "new file"
            costs = fits.save_times(model, name + ending, rounds, epochs=5, backup=is_new)
            ours, theirs = costs[:2]
            what, fsync = f"save, 200 MB, {ending}, {how}", milliseconds(ours.synced)
            times = milliseconds(ours.wall), milliseconds(theirs.wall)
            yield Row(what, *times, ours.wall / theirs.wall, 0.8, " x", fsync)
            if not is_new:
                continue
            times = milliseconds(ours.cpu), milliseconds(theirs.cpu)
            yield Row(f"CPU of the save, {ending}", *times, ours.cpu / theirs.cpu, 0.95, " x")
            if ending == ".weights.h5":
                backup = costs[2].wall
                times = milliseconds(ours.wall), milliseconds(backup)
                yield Row(f"{what}, beside BackupAndRestore", *times, ours.wall / backup, 0.6, " x", fsync)
                raw = fits.raw_times(200_000_000, 3 * rounds)
                times = milliseconds(ours.wall), milliseconds(raw)
                yield Row(f"{what}, beside a raw write of 200 MB", *times, ours.wall / raw, None, " x", fsync)


def small(quick: bool) -> Iterator[Row]:
    """A small model, where the fixed cost shows; what the disk takes for fsync is left out of the figure."""
    import fits

    model = fits.dense(16, 16, 1)
    for name in ("model.keras", "model.weights.h5"):
        ours, theirs = fits.save_times(model, name, rounds=4 if quick else 12, epochs=12)
        what = f"save, small, {name.removeprefix('model')}"
        extra = 1000 * (ours.wall - ours.synced - theirs.wall)
        times = milliseconds(ours.wall), milliseconds(theirs.wall)
        yield Row(what, *times, extra, 3, " ms more", milliseconds(ours.synced))


def beside(quick: bool) -> Iterator[Row]:
    """Saves beside training, of a model of 200 MB."""
    import beside

    rounds = 1 if quick else 5
    warm, new = beside.copy_times(rounds)
    points, stalls = zip(*(beside.stall_times(kind, rounds) for kind in (".keras", ".weights.h5")), strict=True)
    for ending, point in zip((".keras", ".weights.h5"), points, strict=True):
        times = milliseconds(point), milliseconds(warm)
        yield Row(f"quiet point beside training, {ending}, beside a copy", *times, point / warm, 0.5, " x")
    for ending, stall in zip((".keras", ".weights.h5"), stalls, strict=True):
        times = milliseconds(stall), milliseconds(new)
        yield Row(f"whole stall, {ending}, beside a copy into new memory", *times, stall / new, 1.0, " x")
    if importlib.util.find_spec("orbax"):
        _, orbax = beside.stall_times("orbax", rounds)
        times = milliseconds(stalls[0]), milliseconds(orbax)
        yield Row("whole stall, .keras, beside OrbaxCheckpoint", *times, stalls[0] / orbax, 0.1, " x")
    ours, bare, save = beside.fit_times(rounds)
    what = f"whole fit, an epoch of five saves at once ({milliseconds(save)})"
    yield Row(what, f"{ours:.2f} s", f"{bare:.2f} s", ours / bare, 1.05, " x")
    if not Path("/proc/self/status").exists():
        return
    more, less = beside.peak(True), beside.peak(False)
    yield Row(
        "peak memory, beside saves at once",
        f"{more / 1e6:.0f} MB",
        f"{less / 1e6:.0f} MB",
        (more - less) / 2e8,
        None,
        " models more",
    )


def stores(quick: bool) -> Iterator[Row]:
    """An object store on loopback, where s3fs and moto are installed."""
    if not (importlib.util.find_spec("s3fs") and importlib.util.find_spec("moto")):
        return
    import stores

    ours, theirs = stores.put_times(2 if quick else 5)
    times = milliseconds(ours), milliseconds(theirs)
    yield Row("200 MB into a bucket, with SHA-256, beside put_file", *times, ours / theirs, 1.25, " x")
    ours, theirs = stores.stall_times(1 if quick else 3)
    times = milliseconds(ours), milliseconds(theirs)
    extra = 1000 * (ours - theirs)  # the one on a disk may be nothing
    yield Row("whole stall, .keras, into a bucket, beside a disk", *times, extra, None, " ms more")


def loading(quick: bool) -> Iterator[Row]:
    """A checkpoint of 200 MB put into a model, its SHA-256 checked, beside ``load_weights`` alone."""
    import fits

    model = fits.dense(2048, 2048, 2048, 2048, 2048)
    for name in ("model.keras", "model.weights.h5"):
        ours, theirs = fits.load_times(model, name, 5 if quick else 15)
        what = f"restoring 200 MB, {name.removeprefix('model')}, beside load_weights"
        yield Row(what, milliseconds(ours), milliseconds(theirs), ours / theirs, 1.3, " x")


def step(quick: bool) -> Iterator[Row]:
    """A step of training in a run that saves once an epoch."""
    import fits

    ours, theirs = fits.step_times(rounds=10 if quick else 200)
    times = milliseconds(ours), milliseconds(theirs)
    yield Row("training step, saving per epoch", *times, ours / theirs, 1.01, " x")


def size(quick: bool) -> Iterator[Row]:
    """The state file of ten callbacks without arrays."""
    import fits

    count, series = fits.state_size()
    what = f"state file, 10 callbacks, 100 epochs x {len(series)} series"
    yield Row(what, f"{count} bytes", "", count / 1000, 22, " kB", timed=False)


def imports(quick: bool) -> Iterator[Row]:
    """``import callback_state`` in a fresh interpreter, and what it brings along."""

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        return time.perf_counter() - start

    ours, bare = [], []
    for _ in range(5 if quick else 25):
        ours.append(seconds("import callback_state"))
        bare.append(seconds("pass"))
    extra = 1000 * (statistics.median(ours) - statistics.median(bare))
    with_it, without = (milliseconds(statistics.median(times)) for times in (ours, bare))
    yield Row("import callback_state", with_it, without, extra, 50, " ms more")
    code = f"import sys, callback_state; print(*(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    found = done.stdout.split()
    what = "TensorFlow, Keras, NumPy, h5py, cloudpickle imported by it"
    yield Row(what, " ".join(found) or "none", "", len(found), 0, " of 5", timed=False)


def entering(quick: bool) -> Iterator[Row]:
    """Data that can be entered anywhere: an epoch of ``fit`` beside one without them, and an entry."""
    import data

    rounds = 4 if quick else 20
    for what, measure in (("arrays, shuffled", data.shuffled_times), ("tf.data, by epoch", data.epochs_times)):
        ours, theirs = measure(rounds)
        yield Row(f"epoch of fit, {what}", milliseconds(ours), milliseconds(theirs), ours / theirs, 1.05, " x")
    late, early = data.entry_times(10 * rounds)
    what = "entry at epoch 1,000, batch 10,000, beside (0, 0)"
    yield Row(what, milliseconds(late), milliseconds(early), late / early, 1.5, " x")


def inside(quick: bool) -> Iterator[Row]:
    """Saving and resuming inside an epoch."""
    import inside

    rounds = 2 if quick else 8
    for what, measure, budget in (
        ("batch, saving every 1,000, beside ModelCheckpoint", inside.batch_times, 1.02),
        ("resume at batch 10,000 of tf.data, beside reading it", inside.entry_times, 1.5),
        ("a generator read up to the checkpoint, beside reading it", inside.generator_times, 2.0),
    ):
        ours, theirs = measure(rounds)
        yield Row(what, milliseconds(ours), milliseconds(theirs), ours / theirs, budget, " x")


def places(quick: bool) -> Iterator[Row]:
    """Data that know where they are, where grain is installed."""
    if importlib.util.find_spec("grain") is None:
        return
    import places

    late, early = places.entry_times(2 if quick else 6)
    times = milliseconds(late), milliseconds(early)
    yield Row("grain, entered at batch 10,000, beside batch 1", *times, late / early, 5.0, " x")


def directory(quick: bool) -> Iterator[Row]:
    """A directory of a thousand checkpoints, and how fast one is verified."""
    import directory

    rounds = 3 if quick else 10
    *times, size = directory.listing_times(rounds)
    for what, time_taken, budget in zip(
        ("listing 1,000 checkpoints", "listing and verifying 1,000", "finding the newest of 1,000"),
        times,
        (0.2, 0.8, 0.4),
        strict=True,
    ):
        what = f"{what}, states of {size / 1000:.0f} kB"
        yield Row(what, milliseconds(time_taken), "", time_taken, budget, " s")
    ours, alone = directory.verify_times(rounds)
    what = "verifying 256 MB, beside SHA-256 alone"
    yield Row(what, milliseconds(ours), milliseconds(alone), ours / alone, 1.25, " x")


def reading(quick: bool) -> Iterator[Row]:
    """Reading a state file of a large array beside ``numpy.load``, and refusing a hostile one."""
    import reading

    rounds = 2 if quick else 8
    ours, undigested, theirs = reading.array_times(rounds)
    times = milliseconds(undigested), milliseconds(theirs)
    yield Row("reading 400 MB of state, digest apart, beside numpy.load", *times, undigested / theirs, 2.0, " x")
    both = theirs + ours - undigested
    yield Row("the same, both with SHA-256", milliseconds(ours), milliseconds(both), ours / both, 2.0, " x")
    slowest = reading.refusal_times(rounds)
    yield Row("refusing the slowest hostile pickle of 1 MB", milliseconds(slowest), "", slowest, 1.0, " s")


def numbers(quick: bool) -> Iterator[Row]:
    """Many numbers: a dict of a million beside plain pickle, long histories, a report of them; processor time."""
    import many

    rounds = 3 if quick else 10
    for keys, what in ((int, "ints"), ("key {}".format, "texts")):
        save, restore, dump, load = many.dict_times(rounds, keys)
        what = f"of a million floats by {what}, beside pickle"
        yield Row(f"saving a dict {what}", milliseconds(save), milliseconds(dump), save / dump, 3.0, " x")
        yield Row(f"restoring it {what}", milliseconds(restore), milliseconds(load), restore / load, 3.0, " x")
    save, restore = many.history_times(rounds)
    yield Row("saving 4 x 100,000 batch values", milliseconds(save), "", save, 0.05, " s")
    yield Row("restoring 4 x 100,000 batch values", milliseconds(restore), "", restore, 0.1, " s")
    count, extra = many.epochs_cost(rounds)
    yield Row("state file, 10,000 epochs x 4 series", f"{count} bytes", "", count / 1000, 150, " kB", timed=False)
    what = "its save, beside one of 10 epochs"
    yield Row(what, milliseconds(extra), "", 1000 * extra, 10, " ms more")
    taken = many.report_time()
    what = "callback-state report of 10^6 values, 10^5 starts, whole process"
    yield Row(what, milliseconds(taken), "", taken, 2.0, " s")


def commands(quick: bool) -> Iterator[Row]:
    """The command line, a whole process each time, beside an interpreter that does nothing."""
    import commands

    *times, bare = commands.ls_times(3 if quick else 15)
    for what, taken, budget in zip(("5", "1,000"), times, (0.25, 0.5), strict=True):
        what = f"callback-state ls of {what} checkpoints, whole process"
        yield Row(what, milliseconds(taken), milliseconds(bare), taken, budget, " s")


def simulated(quick: bool) -> Iterator[Row]:
    """100,000 simulated steps of a schedule, with a light optimizer and with one of Keras."""
    import simulated

    for optimizer, budget in (("numpy", 2.0), (None, 60.0)):
        taken = min(simulated.seconds(optimizer) for _ in range(1 if quick else 3))
        what = f"100,000 simulated steps, {'a NumPy' if optimizer else 'Keras'} optimizer"
        yield Row(what, f"{taken:.2f} s", "", taken, budget, " s")


GROUPS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "imports": imports,
    "size": size,
    "step": step,
    "directory": directory,
    "cli": commands,
    "reading": reading,
    "numbers": numbers,
    "data": entering,
    "inside": inside,
    "places": places,
    "simulated": simulated,
    "small": small,
    "saves": saves,
    "loading": loading,
    "beside": beside,
    "stores": stores,
}


def table(rows: Sequence[Row]) -> str:
    """The rows as text, in columns as wide as needed."""
    head = ["", "ours", "instead", "fsync", "figure", "budget", ""]
    lines = [head, *(row.cells() for row in rows)]
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    template = "  ".join([f"{{:<{first}}}", *(f"{{:>{width}}}" for width in others)])
    return "\n".join(template.format(*line) for line in lines)


def file_system(path: str) -> str:
    """The kind of the file system at a path, as Linux lists it."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "an unknown file system"
    found = [line.split()[1:3] for line in mounts.read_text().splitlines()]
    return max((len(where), kind) for where, kind in found if os.path.join(path, "").startswith(where))[1]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    options = parser.parse_args(argv)
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.path.insert(0, str(ROOT))
    rows: list[Row] = []
    for name in options.groups or GROUPS:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        rows += GROUPS[name](options.quick)
    print(table(rows))
    where = f"{os.environ['KERAS_BACKEND']}, on {file_system(tempfile.gettempdir())}, {os.cpu_count()} cores"
    print(f"\n{where}, {platform.platform(terse=True)}.")
    print("Medians; of a step the lower quartile. The times of our saves have in them what stands under fsync.")
    over = [row.what for row in rows if not row.good]
    print(f"OVER: {'; '.join(over)}" if over else f"All {len(rows)} rows are within their budgets.")
    return int(any(not row.good and not row.timed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
