"""The programs after five articles: killed in the middle and started again, each ends as if nobody had."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from articles import SAID, Start, contents, files_below, lines_of_code, read_as_anyone, run_all

from callback_state import load_meta
from examples import path_of

META, LSTM, CONVNET = "meta_checkpoint.py", "text_classification_lstm.py", "resume_convnet.py"
ACCURATE, IMPROVEMENTS = "accurate_resume.py", "improvements_and_best.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.mark.parametrize("name", [META, LSTM, CONVNET, ACCURATE, IMPROVEMENTS])
def test_an_example_is_short(name: str) -> None:
    """A complete program of less than sixty lines of code, which begins by saying what it shows."""
    assert lines_of_code(name) < 60
    assert path_of(name).read_text(encoding="utf-8").startswith('"""')


def test_an_example_asked_for_help_trains_nothing(tmp_path: Path) -> None:
    """It says what it shows, and leaves no file."""
    done = subprocess.run(
        [sys.executable, path_of(ACCURATE), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stdout.startswith("usage:")
    assert not [*tmp_path.iterdir()]


def whole_and_resumed(name: str, directory: Path, *dies_at: tuple[int, int]) -> list[list[str]]:
    """What a run printed that nobody killed, and what the last start of one printed that was, at these moments."""
    killed = [Start(name, directory / "killed", moment) for moment in (*dies_at, None)]
    whole, *_, resumed = run_all(Start(name, directory / "whole"), *killed)
    return [whole, resumed]


def is_end_of(lines: list[str], whole: list[str]) -> bool:
    return len(lines) > 0 and lines == whole[-len(lines) :]


# 1: history, epoch and best value in the file.

WAYS = [[*best, *many] for best in ([], ["--best"]) for many in ([], ["--many"])]


@pytest.mark.parametrize("weights", [[], ["--weights"]], ids=["whole models", "weights"])
def test_every_way_to_save_resumes_exactly(tmp_path: Path, weights: list[str]) -> None:
    """Best or latest, one file or many: killed in the sixth epoch, the directory is in the end as if nobody had,
    and whoever reads a file with h5py and YAML finds in it what we do."""
    ways = [[*way, *weights] for way in WAYS]
    starts = [
        Start(META, tmp_path / f"{kind} {i}", dies_at, way)
        for kind, dies_at in (("whole", None), ("killed", (5, 20)), ("killed", None))
        for i, way in enumerate(ways)
    ]
    output = run_all(*starts)
    for i, way in enumerate(ways):
        whole, killed = tmp_path / f"whole {i}", tmp_path / f"killed {i}"
        losses = load_meta(whole / "meta")["val_loss"]
        last = losses.index(min(losses[:5])) if "--best" in way else 4
        first, *rest = output[2 * len(ways) + i]
        assert first == f"last epoch: {last}, best val_loss: {min(losses[: last + 1]):.6f}", way
        assert rest[0] == f"Epoch {last + 2}/8" and is_end_of(rest, output[i]), way
        assert contents(killed) == contents(whole), way
        for path in (killed / "meta").glob("*.h5"):
            assert read_as_anyone(path) == load_meta(path), way


# 2: an LSTM, every five epochs.


def test_lstm_goes_on_from_the_newest_of_every_five_epochs(tmp_path: Path) -> None:
    """Killed in its ninth epoch and in its twelfth, it goes on from the fifth and from the tenth; what it saves at
    the end and by hand is what a whole run saves."""
    whole, lines = whole_and_resumed(LSTM, tmp_path, (8, 7), (11, 7))
    assert "text/0010.weights.h5" in lines[0] and lines[1] == "Epoch 11/12"
    assert is_end_of(lines[1:], whole)
    killed = contents(tmp_path / "killed")
    assert killed == contents(tmp_path / "whole")
    assert sorted(killed) == [f"text/{name}.weights.h5" for name in ("0005", "0010", "0012.final")]
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")


def weights_of(directory: Path) -> list[bytes]:
    """Of the model that was saved by hand."""
    model = keras.models.load_model(directory / "text_classifier.keras")
    return [array.tobytes() for array in model.get_weights()]


# 3: a convolutional network, from its best weights.


def test_convnet_goes_on_from_its_best_weights(tmp_path: Path) -> None:
    """Killed in the fourth epoch and in the sixth, it evaluates what it loads as it was evaluated when it was the
    best, and ends as a whole run."""
    whole, (before, _, loaded, *rest) = whole_and_resumed(CONVNET, tmp_path, (3, 11), (5, 11))
    meta = load_meta(tmp_path / "whole/convnet")
    accuracies = meta["val_accuracy"][:5]
    best = accuracies.index(max(accuracies))
    assert before == whole[0]
    assert numbers_in(loaded) == pytest.approx([meta["val_loss"][best], accuracies[best]], abs=1e-4)
    assert rest[0] == f"Epoch {best + 2}/6" and is_end_of(rest, whole)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def numbers_in(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", line)]


# 4: two schedulers with counters.


def test_only_counters_and_noise_together_are_the_same_run(tmp_path: Path) -> None:
    """Begun anew the schedules are wrong, set by hand they are right and the weights are not, restored all is; and
    the table is the same after a kill in the fourth epoch."""
    table, resumed = whole_and_resumed(ACCURATE, tmp_path, (3, 30))
    uninterrupted, wrong, by_hand, ours = (line[15:].split() for line in table[1:])
    assert [row[-1] for row in (uninterrupted, wrong, by_hand, ours)] == ["yes", "no", "no", "yes"]
    assert uninterrupted == ours and uninterrupted[:3] == by_hand[:3]
    assert not set(uninterrupted[:3]) & set(wrong[:3])
    assert resumed == table
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


# 5: improvements and the best.


def test_files_are_those_of_a_run_that_was_not_killed(tmp_path: Path) -> None:
    """Killed in the fifth epoch and in the sixth, the improvements have the same epochs and losses in their names,
    the best is the same, and nothing else is there."""
    whole, (_, *lines) = whole_and_resumed(IMPROVEMENTS, tmp_path, (4, 20), (5, 20))
    assert is_end_of(lines, whole)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert files_below(tmp_path / "killed") == files_below(tmp_path / "whole")
    losses = load_meta(tmp_path / "whole/vgg/improvements")["val_loss"]
    better = [i for i, loss in enumerate(losses) if loss < min(losses[:i], default=9)]
    names = [f"vgg/improvements/{i + 1:03d}-{losses[i]:.4f}.keras" for i in better]
    assert [line for line in lines if "improvements" in line and "final" not in line] == names
    assert 1 < len(better) < 6


# The real data sets, as far as that goes without downloading them.

#: Each loader of Keras gives what the real one gives, and little of it; its name is printed.
FAKES = """
import keras
import numpy as np
random = np.random.default_rng(0)

def images(name, *shape):
    def load_data():
        print(name)
        pixels = random.integers(0, 256, (2, 64, *shape), "uint8")
        return [(pixels[0], random.integers(0, 10, 64)), (pixels[1], random.integers(0, 10, (64, 1)))]
    getattr(keras.datasets, name).load_data = load_data

def texts(name, classes):
    def load_data(num_words):
        print(name)
        rows = [list(random.integers(1, num_words, n + 1)) for n in range(64)]
        return [(np.array(rows, object), random.permutation(64) % classes) for _ in range(2)]
    getattr(keras.datasets, name).load_data = load_data

images("mnist", 28, 28), images("fashion_mnist", 28, 28), images("cifar10", 32, 32, 3)
texts("imdb", 2), texts("reuters", 46)
"""


#: What to load, in which example, and the shape of a weight that tells it.
ASKED = [
    ("mnist", META, (784, 64)),
    ("cifar10", META, (3072, 64)),
    ("fashion_mnist", CONVNET, (3, 3, 1, 32)),
    ("cifar10", IMPROVEMENTS, (3, 3, 3, 32)),
    ("imdb", LSTM, (32, 2)),
    ("reuters", LSTM, (32, 46)),
]


def test_data_that_can_be_downloaded_is_used_when_it_is_asked_for(tmp_path: Path) -> None:
    """With ``--data`` the loader of that name is called once, and the model has its shape and its classes."""
    output = run_all(
        *(
            Start(name, tmp_path / str(i), arguments=["--data", data, "--epochs", "1"], before=FAKES)
            for i, (data, name, _) in enumerate(ASKED)
        )
    )
    for i, (data, _, shape) in enumerate(ASKED):
        assert output[i][0] == data and data not in output[i][1:]
        models = [said[SAID.index("model")] for said in contents(tmp_path / str(i)).values()]
        assert any(f" {shape} " in variable for model in models for variable in model["variables"])
