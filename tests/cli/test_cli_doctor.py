"""What a restart would lose, told from a state file or from a script."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from places import GOLDEN, ROOT
from recorded_runs import BEGAN, SECOND, TEMPLATE, doubt, entry, start, write, write_run

from callback_state import untrusted
from callback_state._checkpoints.doubt import Doubt
from callback_state.cli import main
from callback_state.cli.doctor.findings import Finding, findings_in
from callback_state.cli.doctor.patch import patched
from callback_state.cli.doctor.script import findings_of, findings_of_source
from callback_state.cli.runs.recorded import newest_of
from callback_state.cli.shell.exits import Exit


def findings(directory: Path) -> list[Finding]:
    return findings_in(newest_of(str(directory))[0], "ckpt")


def test_nothing_is_found_in_a_run_that_was_resumed_rightly(tmp_path: Path, capsys: Any) -> None:
    """Two restarts that went on with what their checkpoints say cost no exactness; the status is 0."""
    write_run(tmp_path, versions={})
    assert main(["doctor", str(tmp_path)]) == Exit.OK
    assert capsys.readouterr().out.splitlines() == [
        "006.keras: a restart trains nothing, as the run has finished",
        "nothing found that a restart would lose",
        f"model files were not read; to check them: callback-state verify {tmp_path}",
    ]


def test_a_start_that_restored_nothing_is_found(tmp_path: Path) -> None:
    """Checkpoints were there and it began anew: the line to write is that which restores."""
    write(tmp_path, "m.keras", starts=[start(0, beside=3)])
    (found,) = findings(tmp_path)
    assert found.what == (
        "start 1 of the run began with epoch 1, although 3 of its checkpoints were in the directory"
    )
    assert found.cure == (
        "write before fit: restored = restore_callbacks('ckpt', into=callbacks, model=model, missing_ok=True)"
    )


@pytest.mark.parametrize(
    ("due", "said"), [((3, 0), "epoch 4"), ((0, 5), "epoch 1, batch 6")], ids=["epoch", "batch"]
)
def test_a_start_with_another_epoch_than_was_due_is_found(tmp_path: Path, due: Any, said: str) -> None:
    """``initial_epoch`` was not passed: the second start trained epoch 0 again."""
    write(tmp_path, "m.keras", starts=[start(0), start(50, 0, came_from=20, due=due)])
    (found,) = findings(tmp_path)
    assert found.what.startswith("start 2 of the run went on with epoch 1, but its checkpoint goes on ")
    assert found.what.endswith(f"with {said}")
    assert "initial_epoch=restored.initial_epoch" in found.cure


def test_a_first_start_beside_nothing_is_right(tmp_path: Path) -> None:
    """Neither a first start in an empty directory is a finding, nor one that went on beside what it came from."""
    write(tmp_path, "m.keras", starts=[start(0), start(50, 3, 2, came_from=20, beside=4)])
    assert findings(tmp_path) == []


def test_what_training_warned_of_is_found_with_its_cure(tmp_path: Path) -> None:
    """A doubt is kept as what is so, what it costs and what to write; each is told as it is."""
    kept = Doubt("Counter is not saved", "write @stateful above class Counter", "what depends on it")
    write(tmp_path, "m.keras", doubts=[asdict(kept)])
    (found,) = findings(tmp_path)
    assert (found.what, found.lost, found.cure) == (kept.what, kept.cost, kept.cure)


def test_a_finished_run_that_could_not_go_on_is_found(tmp_path: Path) -> None:
    """The end replaced the weights of the last epoch, and the checkpoint that has these is not there."""
    write(tmp_path, "002.final.keras", finished=True, goes_on_from="002.keras")
    (found,) = findings(tmp_path)
    assert found.what.startswith("with more epochs the finished run goes on from 002.keras, which is not whole (")
    assert "larger epochs=" in found.lost


def test_a_finished_run_that_can_go_on_is_right(tmp_path: Path) -> None:
    """As long as its last epoch is whole; one that was cut short, or has lost its state, is a finding."""
    write(tmp_path, "002.final.keras", finished=True, goes_on_from="002.keras", saved_at=BEGAN + SECOND)
    state = write(tmp_path, "002.keras", saved_at=BEGAN)
    assert findings(tmp_path) == []
    (tmp_path / "002.keras").write_bytes(b"cut")
    assert "has 3 bytes" in findings(tmp_path)[0].what
    (tmp_path / "002.keras").write_bytes(b"model")
    state.unlink()
    assert "expected its state file" in findings(tmp_path)[0].what


def test_a_damaged_model_file_is_left_to_verify(tmp_path: Path, capsys: Any) -> None:
    """Of the right size, it is not read: the last line says so, whether anything was found or not."""
    for doubts in ([], [doubt("a is unseeded")]):
        write(tmp_path, "m.keras", doubts=doubts)
        (tmp_path / "m.keras").write_bytes(b"MODEL")
        main(["doctor", str(tmp_path)])
        last = capsys.readouterr().out.splitlines()[-1]
        assert last == f"model files were not read; to check them: callback-state verify {tmp_path}"
    assert main(["verify", str(tmp_path)]) == Exit.DAMAGED


@pytest.mark.parametrize(
    ("name", "expected"),
    [("code-by-value", ["ByValue.held, function golden.<lambda>, is stored by value"]), ("stock-callbacks", [])],
    ids=["code", "data"],
)
def test_state_that_only_trust_opens_is_found(name: str, expected: list[str]) -> None:
    """A function as an attribute; the line that leaves it out names it."""
    others = ("the checkpoint was written with", "Kill is not saved")
    found = [f for f in findings(sorted(GOLDEN.rglob(name))[-1]) if not f.what.startswith(others)]
    assert [f.what for f in found] == expected
    assert all("@stateful(exclude=('held',))" in f.cure for f in found)


def test_an_argument_that_is_code_is_no_finding(tmp_path: Path) -> None:
    """With ``into=`` the constructor's argument is the new one, whatever the file holds."""
    described = {**entry("Scheduler"), "arguments": {"schedule": ("opaque", "function train.f", 0)}}
    write(tmp_path, "m.keras", {"Scheduler": {}}, callbacks=[described])
    (need,) = untrusted(tmp_path / "m.keras")
    assert str(need) == "Scheduler(schedule=) (function train.f) needs ?"
    assert findings(tmp_path) == []


def test_another_release_of_keras_is_found_without_importing_it(tmp_path: Path) -> None:
    """Another minor version, of what is installed here; a patch, and what is not installed, are none."""
    major, minor, *_ = metadata.version("keras").split(".")
    write(tmp_path, "m.keras", versions={"keras": f"{major}.{minor}.99", "jax": "1.0", "platform": "none"})
    assert findings(tmp_path) == []
    write(tmp_path, "m.keras", versions={"keras": "3.1.2", "python": "2.7.18"})
    found = [f.what for f in findings(tmp_path)]
    assert found[0].startswith("the checkpoint was written with python 2.7.18, but 3.")
    assert found[1].startswith("the checkpoint was written with keras 3.1.2, but 3.")


def test_the_newest_checkpoint_counts_and_damaged_ones_are_told(tmp_path: Path, capsys: Any) -> None:
    """An older one's doubts are over; of several runs the newest, or the one that is named."""
    early = {"saved_at": BEGAN, "template": TEMPLATE}
    write(tmp_path, "1.keras", doubts=[doubt("old")], **early)
    write(tmp_path, "2.keras", doubts=[], saved_at=BEGAN + SECOND, template=TEMPLATE)
    write(tmp_path, "x.keras", doubts=[doubt("other")], saved_at=BEGAN - SECOND, template="x.keras")
    assert main(["doctor", str(tmp_path)]) == Exit.OK
    assert main(["doctor", str(tmp_path), "--run", "x.keras"]) == Exit.LOSS
    assert main(["doctor", str(tmp_path / "1.keras")]) == Exit.LOSS
    (tmp_path / "2.keras").write_bytes(b"cut")
    capsys.readouterr()
    assert main(["doctor", str(tmp_path)]) == Exit.LOSS
    printed = capsys.readouterr()
    assert printed.out.startswith("1.keras: ") and "2.keras: has 3 bytes" in printed.err


def test_findings_are_printed_and_are_json(tmp_path: Path, capsys: Any) -> None:
    """Three lines each, or one object; the status is 8."""
    write(tmp_path, "m.keras", doubts=[doubt("a is unseeded")])
    assert main(["doctor", str(tmp_path)]) == 8
    assert capsys.readouterr().out.splitlines()[1:-1] == [
        "a is unseeded",
        "    lost: exactness: the resumed run may be a different run",
        "    cure: write seed=1",
    ]
    assert main(["doctor", str(tmp_path), "--json"]) == 8
    assert json.loads(capsys.readouterr().out) == {
        "path": str(tmp_path),
        "standing": "m.keras: a restart goes on with epoch 2",
        "findings": [
            {
                "what": "a is unseeded",
                "lost": "exactness: the resumed run may be a different run",
                "cure": "write seed=1",
                "line": None,
            }
        ],
    }


def test_keras_is_neither_imported_nor_needed(tmp_path: Path) -> None:
    """For a directory, a script and a report, where no Keras, TensorFlow or matplotlib can be imported."""
    write(tmp_path, "m.keras", versions={"keras": "3.1.2"})
    (tmp_path / "train.py").write_text("import keras\nraise SystemExit('it was run')\n")
    code = (
        "import sys\n"
        "sys.modules.update(keras=None, tensorflow=None, h5py=None, cloudpickle=None, matplotlib=None)\n"
        "from callback_state.cli import main; status = [int(main([*argv.split()])) for argv in\n"
        "('doctor .', 'doctor train.py', 'report . -o r.html')]; print(*status)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "8 0 0"), done.stderr


# Scripts.

RIGHT = """
import keras, tensorflow as tf
from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful
keras.utils.set_random_seed(1)
callbacks = [ModelCheckpointEnhanced("ckpt/{epoch}.keras")]
restored = restore_callbacks("ckpt", into=callbacks, model=model, missing_ok=True)
model.fit(x, y, epochs=8, initial_epoch=restored.initial_epoch, callbacks=callbacks)
"""


def callback(body: str, decorator: str = "", base: str = "keras.callbacks.Callback") -> str:
    """A script with one callback class of this body."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"{RIGHT}\n{decorator}\nclass Mine({base}):\n{lines}\n"


def read(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(text, encoding="utf-8")
    return [found.what for found in findings_of(str(path))]


INIT = "def __init__(self):\n    super().__init__()\n    self.n = 0\n"
UNSAVED = {
    "counts": INIT + "def on_epoch_end(self, epoch, logs=None):\n    self.n += 1",
    "computes": INIT + "def on_epoch_begin(self, epoch, logs=None):\n    self.n = self.n * 0.5",
    "keeps the best": INIT + "def on_epoch_end(self, epoch, logs=None):\n    if logs: self.n = logs['loss']",
    "in a method of its own": INIT + "def step(self):\n    self.n = self.n + 1",
    "a list": "def on_train_begin(self, logs=None):\n    self.n = []\n"
    "def on_train_batch_end(self, batch, logs=None):\n    self.n.append(logs['loss'])",
    "an item": INIT + "def on_epoch_end(self, epoch, logs=None):\n    self.n[epoch] = 1",
    "an attribute of the class": "n = 0\ndef on_epoch_end(self, epoch, logs=None):\n    self.n += 1",
    "made anew in each epoch": INIT + "def on_epoch_begin(self, epoch, logs=None):\n    self.n = epoch + 1",
    "made anew in each batch": INIT + "def on_train_batch_begin(self, batch, logs=None):\n    self.n = clock()",
    "never made before": "def on_epoch_begin(self, epoch, logs=None):\n    self.n = epoch",
    "by a method of the beginning too": "def on_train_begin(self, logs=None):\n    self.reset()\n"
    "def on_epoch_begin(self, epoch, logs=None):\n    self.reset()\n"
    "def reset(self):\n    self.n = clock()",
    "one of two": INIT + "def on_epoch_end(self, epoch, logs=None):\n    self.n, other = 1, 2",
}
HARMLESS = {
    "configuration": INIT + "def on_epoch_end(self, epoch, logs=None):\n    print(self.n)",
    "made anew in each start": INIT + "def on_train_begin(self, logs=None):\n    self.n = clock()",
    "made by a method of the beginning": "def on_train_begin(self, logs=None):\n    self.reset()\n"
    "def reset(self):\n    self.make()\ndef make(self):\n    self.n = 0",
    "made at the end": INIT + "def on_train_end(self, logs=None):\n    self.n = clock()",
    "of somebody else": INIT + "def on_epoch_end(self, epoch, logs=None):\n    self.model.n = 1\n    other.n += 1",
    "a name of its own": INIT + "def on_epoch_end(self, epoch, logs=None):\n    n = 1\n    n += 1",
}


@pytest.mark.parametrize("body", UNSAVED.values(), ids=UNSAVED)
def test_a_callback_that_changes_and_is_not_saved_is_found(tmp_path: Path, body: str) -> None:
    """Whatever way it changes its attribute; with @stateful, or wrapped, it is right."""
    assert read(tmp_path, callback(body)) == ["Mine changes n, and is not saved"]
    assert read(tmp_path, callback(body, base="Callback")) == ["Mine changes n, and is not saved"]
    assert read(tmp_path, callback(body, "@stateful")) == []
    assert read(tmp_path, callback(body, "@callback_state.stateful(key='mine')")) == []
    for wrapped in ("stateful(Mine(1))", "adapter(Mine, state=('n',))"):
        assert read(tmp_path, f"{callback(body)}\n{wrapped}") == []


@pytest.mark.parametrize("body", HARMLESS.values(), ids=HARMLESS)
def test_a_callback_that_keeps_nothing_is_right(tmp_path: Path, body: str) -> None:
    """What changes only before or after training, or never, is no state."""
    assert read(tmp_path, callback(body)) == []


def test_what_derives_from_a_callback_is_one(tmp_path: Path) -> None:
    """By way of a class of the script, which may be given to @stateful for both; other classes are none."""
    derived = "class Child(Mine):\n    n = 0\n    def on_epoch_end(self, *args):\n        self.n += 1\n"
    assert read(tmp_path, callback("pass") + derived) == ["Child changes n, and is not saved"]
    assert read(tmp_path, callback("pass", "@stateful") + derived) == []
    assert read(tmp_path, callback(UNSAVED["counts"], base="object")) == []


SEED = "keras.utils.set_random_seed(1)"
SHUFFLE = "d = Dataset.from_tensor_slices(x).shuffle(1000).batch(2)"
UNUSED = "checkpoint = ModelCheckpointEnhanced('a.keras')\ncallbacks = ["
FORGOTTEN: dict[str, tuple[str, str, list[str]]] = {
    "checkpoint": (
        "ModelCheckpointEnhanced(",
        "keras.callbacks.ModelCheckpoint(",
        ["ModelCheckpoint saves the model, not what the callbacks know"],
    ),
    "backup": (
        "ModelCheckpointEnhanced(",
        "BackupAndRestore(",
        ["BackupAndRestore saves the model, not what the callbacks know"],
    ),
    "initial_epoch": ("initial_epoch=restored.initial_epoch, ", "", ["fit does not get initial_epoch="]),
    "restore": ("restored = restore_callbacks(", "restored = other(", ["nothing is restored before fit"]),
    "model": ("model=model, ", "", ["the callbacks are restored, but the model is not"]),
    "seed": (SEED, "", ["no seed is set"]),
    "shuffle": (SEED, SHUFFLE, ["a dataset is shuffled without a seed", "no seed is set"]),
    "seeded shuffle": (SEED, "d = data.shuffle(buffer_size=len(x), seed=1)", ["no seed is set"]),
    "other shuffles": (SEED, "random.shuffle(x); rng.shuffle(indices)", ["no seed is set"]),
    "unused": ("callbacks = [", UNUSED, ["checkpoint, a ModelCheckpointEnhanced, is not used"]),
}


@pytest.mark.parametrize(("old", "new", "expected"), FORGOTTEN.values(), ids=FORGOTTEN)
def test_what_a_script_forgets_is_found(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    """A right script is right, and with one thing changed that thing is named, with its line."""
    assert read(tmp_path, RIGHT) == []
    assert RIGHT.count(old) >= 1
    assert sorted(read(tmp_path, RIGHT.replace(old, new))) == sorted(expected)


ALIKE: dict[str, tuple[str, str]] = {
    "another seed": (SEED, "tf.random.set_seed(1); d = tf.data.Dataset.range(9).shuffle(9)"),
    "options": ("initial_epoch=restored.initial_epoch", "**options"),
    "another name": ("restore_callbacks", "restore"),
    "the stock name": ("import ModelCheckpointEnhanced", "import ModelCheckpointEnhanced as ModelCheckpoint"),
    "no model": ("model=model", "model=None"),
    "no into": ("into=callbacks, model=model, ", ""),
    "load_model": ("model=model, missing_ok=True)", "missing_ok=True); model = load_model(restored.model_path)"),
    "a second checkpoint": (
        "callbacks=callbacks)",
        "callbacks=[*callbacks, keras.callbacks.ModelCheckpoint('best.keras')])",
    ),
}


@pytest.mark.parametrize(("old", "new"), ALIKE.values(), ids=ALIKE)
def test_other_ways_to_be_right_are_right(tmp_path: Path, old: str, new: str) -> None:
    """What says the same in other words, or cannot be told, is no finding."""
    text = RIGHT.replace(old, new)
    text = text.replace("Enhanced, restore,", "Enhanced, restore_callbacks as restore,")
    if "as ModelCheckpoint" in new:
        text = text.replace("[ModelCheckpointEnhanced(", "[ModelCheckpoint(")
    assert text != RIGHT and read(tmp_path, text) == []


BEST = 'ModelCheckpointEnhanced("best.keras", save_best_only=True)'
EACH = 'ModelCheckpointEnhanced("c/{epoch}.keras")'


CHOSEN: dict[str, tuple[str, str]] = {
    "best first": (f"{BEST}, {EACH}", "c"),
    "best alone": (BEST, "."),
    "by position": (f"{BEST}, {EACH}".replace("save_best_only=", "'loss', 0, "), "c"),
    "not best": (f"{BEST}, {EACH[:-1]}, save_best_only=False)", "c"),
    "unknown": (f"{BEST}, {EACH[:-1]}, save_best_only=option)", "."),
    "no text": (f"{BEST}, ModelCheckpointEnhanced(path)", "ckpt"),
}


@pytest.mark.parametrize(("checkpoints", "directory"), CHOSEN.values(), ids=CHOSEN)
def test_the_line_to_write_restores_from_the_checkpoint_of_every_epoch(
    tmp_path: Path, checkpoints: str, directory: str
) -> None:
    """Not from that of the best ones, whose newest file is of an old epoch, where there is another."""
    path = tmp_path / "script.py"
    path.write_text(
        "import keras\nfrom callback_state import ModelCheckpointEnhanced\nkeras.utils.set_random_seed(1)\n"
        f"model.fit(x, y, callbacks=[{checkpoints}])"
    )
    (found,) = findings_of(str(path))
    assert f"restore_callbacks({directory!r}, into=" in found.cure


def test_random_operations_of_a_train_step_are_found(tmp_path: Path) -> None:
    """Those with a counter, within train_step and call; stateless ones and Keras's are right, so is other code."""
    step = "class M(keras.Model):\n    def {}(self, data):\n        return {}\n"
    stateful_op, stateless = "tf.random.normal([2])", "tf.random.stateless_normal([2], seed=[1, 2])"
    expected = ["tf.random.normal has a counter that cannot be saved"]
    assert read(tmp_path, RIGHT + step.format("train_step", stateful_op)) == expected
    assert read(tmp_path, RIGHT + step.format("call", stateful_op)) == expected
    assert read(tmp_path, RIGHT + step.format("train_step", stateless)) == []
    assert read(tmp_path, RIGHT + step.format("call", "keras.random.normal((2,), seed=self.seed)")) == []
    assert read(tmp_path, RIGHT + step.format("plot", stateful_op)) == []


def test_scripts_of_other_libraries_are_left_alone(tmp_path: Path) -> None:
    """They have callbacks, checkpoints and fit too."""
    text = RIGHT.replace("keras.utils.set_random_seed(1)", "").replace("from callback_state", "from other")
    assert read(tmp_path, text.replace("import keras, tensorflow as tf", "import lightning")) == []
    assert read(tmp_path, "import keras\nfrom sklearn.svm import SVC\nSVC().fit(x, y, **options)") == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_the_examples_are_right(path: Path) -> None:
    """No example of the project is told that it would lose anything."""
    assert findings_of(str(path)) == []


@pytest.mark.parametrize("name", ["train.py", "test_schedule.py"])
def test_what_an_example_needs_would_be_missed(tmp_path: Path, name: str) -> None:
    """Without its seed or its decorator something is found in a program of the README."""
    program = (ROOT / "examples" / name).read_text(encoding="utf-8")
    assert read(tmp_path, program.replace("@stateful", "").replace("keras.utils.set_random_seed(1)", "")) != []


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"def f(:", Exit.USAGE), (b"x = '\0'", Exit.USAGE), (None, Exit.FAILED)],
    ids=["no python", "a zero", "missing"],
)
def test_what_is_no_script_is_said(tmp_path: Path, capsys: Any, content: bytes | None, status: Exit) -> None:
    """With a status of its own, and without a traceback."""
    path = tmp_path / "script.py"
    if content is not None:
        path.write_bytes(content)
    assert main(["doctor", str(path)]) == status
    assert "script.py" in capsys.readouterr().err


def test_findings_of_a_script_have_their_lines(tmp_path: Path, capsys: Any) -> None:
    """As an editor or a terminal makes a link of them."""
    path = tmp_path / "script.py"
    path.write_text(RIGHT.replace("keras.utils.set_random_seed(1)", ""), encoding="utf-8")
    assert main(["doctor", str(path)]) == Exit.LOSS
    assert capsys.readouterr().out.splitlines()[0] == f"{path}:7: no seed is set"


LOOP = """
import keras, tensorflow as tf
from callback_state import ModelCheckpointEnhanced, restore_callbacks
keras.utils.set_random_seed(1)
train = tf.data.Dataset.range(8).shuffle(8, seed=1).batch(2)
names = ["a"]
callbacks = keras.callbacks.CallbackList([ModelCheckpointEnhanced("ckpt/{epoch}.keras")], model=model)
restored = restore_callbacks("ckpt", into=callbacks, model=model, missing_ok=True)
for epoch in range(restored.initial_epoch, 3):
    for step, batch in READ:
        for name in names:
            train_step(batch)
"""


@pytest.mark.parametrize(
    ("read", "found"),
    [("enumerate(train)", [10]), ("restored.batches(train, epoch)", []), ("enumerate(names)", [])],
)
def test_a_loop_that_reads_shuffled_data_by_itself_is_found(tmp_path: Path, read: str, found: list[int]) -> None:
    """And neither the way that is resumed, nor a loop over something else."""
    script = tmp_path / "loop.py"
    script.write_text(LOOP.replace("READ", read))
    told = findings_of(str(script))
    assert [finding.line for finding in told] == found
    assert all("restored.batches(train, epoch)" in finding.cure for finding in told)


TWO = '''"""Two fits, each with callbacks of its own; everything is missing."""

import numpy as np
from keras import Input, Sequential, layers
from keras.callbacks import EarlyStopping, ModelCheckpoint

x = np.arange(8.0, dtype="float32").reshape(8, 1)
model = Sequential([Input((1,)), layers.Dense(1)])
model.compile("sgd", "mse")
first = [EarlyStopping("loss", patience=5), ModelCheckpoint("one/{epoch}.keras")]
history = model.fit(x, x, epochs=2, verbose=0, callbacks=first)


def tune(epochs=3):
    model.compile("sgd", "mse")
    model.fit(
        x,
        x,
        epochs=epochs,
        verbose=0,
        callbacks=[ModelCheckpoint("two/{epoch}.keras")],  # of its own
    )


tune()
print("weights", model.get_weights()[0].tobytes().hex())
'''


def test_everything_is_found_in_one_pass(tmp_path: Path) -> None:
    """Of each fit: also what is seen only when the stock checkpoints are replaced."""
    assert sorted(read(tmp_path, TWO)) == sorted(
        ["ModelCheckpoint saves the model, not what the callbacks know"] * 2
        + ["nothing is restored before fit"] * 2
        + ["no seed is set"]
    )


def test_a_patch_cures_what_a_change_of_the_text_cures(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    """``git apply`` takes it, then nothing is found, and the script runs and is resumed."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "train.py"
    script.write_text(TWO, encoding="utf-8")
    assert main(["doctor", "train.py", "--diff"]) == Exit.LOSS
    printed = capsys.readouterr()
    assert printed.err == ""
    (tmp_path / "cure.diff").write_text(printed.out, encoding="utf-8")
    subprocess.run(["git", "apply", "cure.diff"], check=True, cwd=tmp_path, timeout=60)
    assert findings_of(str(script)) == []
    assert main(["doctor", "train.py", "--diff"]) == Exit.OK and capsys.readouterr().out == ""
    runs = [
        subprocess.run([sys.executable, "train.py"], capture_output=True, text=True, cwd=tmp_path, timeout=300)
        for _ in range(2)
    ]
    assert [done.returncode for done in runs] == [0, 0], runs[-1].stderr
    weights = [next(line for line in done.stdout.splitlines() if line.startswith("weights")) for done in runs]
    assert weights[0] == weights[1]  # all epochs are trained: the second start trains nothing
    assert (tmp_path / "one" / "2.keras.callbacks.pkl").exists()
    assert (tmp_path / "two" / "3.keras.callbacks.pkl").exists()


CURED: dict[str, tuple[str, str]] = {
    "initial_epoch": ("initial_epoch=restored.initial_epoch, ", ""),
    "model": ("model=model, ", ""),
    "seed": (SEED, ""),
    "shuffle": (SEED, SHUFFLE),
    "checkpoint": ("ModelCheckpointEnhanced(", "keras.callbacks.ModelCheckpoint("),
    "restore": ('restored = restore_callbacks("ckpt", into=callbacks, model=model, missing_ok=True)', ""),
}


@pytest.mark.parametrize(("old", "new"), CURED.values(), ids=CURED)
def test_each_such_finding_is_gone_when_the_script_is_patched(tmp_path: Path, old: str, new: str) -> None:
    """Whichever line was missing."""
    text = RIGHT.replace(old, new)
    assert read(tmp_path, text) != []
    look = lambda source: [found.change for found in findings_of_source(source)]  # noqa: E731
    assert read(tmp_path, patched(text.encode(), look).decode()) == []


def test_what_no_change_of_the_text_cures_is_told_beside_the_patch(tmp_path: Path, capsys: Any) -> None:
    """With the line to write."""
    script = tmp_path / "script.py"
    script.write_text(callback(UNSAVED["counts"]), encoding="utf-8")
    assert main(["doctor", str(script), "--diff"]) == Exit.LOSS
    printed = capsys.readouterr()
    assert printed.out == "" and "Mine changes n, and is not saved: not in the patch" in printed.err
    assert main(["doctor", str(tmp_path), "--diff"]) == Exit.USAGE


def test_two_checkpoints_with_one_path_are_found(tmp_path: Path) -> None:
    """Each would write over the files of the other."""
    both = 'callbacks = [ModelCheckpointEnhanced("ckpt/{epoch}.keras", save_best_only=True), '
    assert read(tmp_path, RIGHT.replace("callbacks = [", both)) == [
        "two checkpoints write 'ckpt/{epoch}.keras', the first of them in line 5"
    ]


OWN_LOOP = """
import keras
from callback_state import ModelCheckpointEnhanced, restore_callbacks
keras.utils.set_random_seed(1)
model.compile("adam", "mse")
saver = ModelCheckpointEnhanced("l/{epoch}-{batch}.keras", save_freq=5)
callbacks = keras.callbacks.CallbackList([saver], model=model)
model.optimizer.build(model.trainable_variables)
restored = restore_callbacks("l", into=callbacks, model=model, missing_ok=True)
for epoch in range(restored.initial_epoch, 3):
    for step, rows in restored.batches(rows, epoch):
        variables = model.optimizer.stateless_apply(variables, gradients, values)
"""
LOOPS: dict[str, tuple[str, str, list[str]]] = {
    "right": ("", "", []),
    "no position": (
        "restored.batches(rows, epoch)",
        "enumerate(rows)",
        ["save_freq= saves inside epochs, and the training loop has no position in its data"],
    ),
    "not built": (
        "model.optimizer.build(model.trainable_variables)",
        "",
        ["the optimizer is not built before the restore"],
    ),
    "no compile": (
        'model.compile("adam", "mse")',
        "",
        ["the optimizer is no part of the model, as it was not given to compile"],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), LOOPS.values(), ids=LOOPS)
def test_what_a_loop_of_ones_own_forgets_is_found(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    """Its position in the data, and an optimizer that the restore reaches."""
    assert read(tmp_path, OWN_LOOP.replace(old, new) if old else OWN_LOOP) == expected
