"""The programs after five articles: killed in the middle and started again, each ends as if nobody had."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import Any

import keras
import pytest
from articles import SAID, contents, files_below, read_as_anyone
from programs import lines_of_code, path_of, start

from callback_state import load_meta

META, LSTM, CONVNET = "meta_checkpoint.py", "text_classification_lstm.py", "resume_convnet.py"
ACCURATE, IMPROVEMENTS = "accurate_resume.py", "improvements_and_best.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.mark.parametrize("name", sorted(path.name for path in path_of("").glob("*.py")))
def test_an_example_is_short(name: str) -> None:
    """Less than sixty lines of code; a program begins by saying what it shows."""
    assert lines_of_code(name) < 60
    assert name.startswith("test_") or path_of(name).read_text(encoding="utf-8").startswith('"""')


def test_an_example_asked_for_help_trains_nothing(tmp_path: Path) -> None:
    """It says what it shows, and leaves no file."""
    assert start(ACCURATE, tmp_path, arguments=["--help"]).out.startswith("usage:")
    assert not [*tmp_path.iterdir()]


def whole_and_resumed(name: str, directory: Path, *dies_at: tuple[int, int], **options: Any) -> list[list[str]]:
    """What a run printed that nobody killed, and what the last start of one printed that was, at these moments."""
    whole = start(name, directory / "whole", **options).lines
    for moment in dies_at:
        start(name, directory / "killed", dies_at=moment, **options)
    return [whole, start(name, directory / "killed", **options).lines]


def is_end_of(lines: list[str], whole: list[str]) -> bool:
    return len(lines) > 0 and lines == whole[-len(lines) :]


#: Each loader of data gives what the real one gives, and little of it; its name is printed.
LITTLE = """
import keras, numpy as np, sklearn.datasets as datasets
random, digits = np.random.default_rng(0), datasets.load_digits()
few = {"images": digits.images[:160], "data": digits.data[:160], "target": digits.target[:160]}

def load_digits(return_X_y=False):
    return (few["data"], few["target"]) if return_X_y else type(digits)(**few)

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

datasets.load_digits = load_digits
images("mnist", 28, 28), images("fashion_mnist", 28, 28), images("cifar10", 32, 32, 3)
texts("imdb", 2), texts("reuters", 46)
"""


# 1: history, epoch and best value in the file.

SWITCHES = (("--best",), ("--many",), ("--weights",))
WAYS = [[*itertools.chain(*way)] for way in itertools.product(*([(), switch] for switch in SWITCHES))]


def check_way(directory: Path, way: list[str], moment: tuple[int, int], epochs: int, **options: Any) -> None:
    arguments = [*way, "--epochs", str(epochs)]
    whole, (first, *rest) = whole_and_resumed(META, directory, moment, arguments=arguments, **options)
    losses = load_meta(directory / "whole/meta")["val_loss"]
    seen = losses[: moment[0]]
    last = losses.index(min(seen)) if "--best" in way else moment[0] - 1
    assert first == f"last epoch: {last}, best val_loss: {min(seen):.6f}"
    assert rest[0] == f"Epoch {last + 2}/{epochs}" and is_end_of(rest, whole)
    assert contents(directory / "killed") == contents(directory / "whole")
    for path in (directory / "killed/meta").glob("*.h5"):
        assert read_as_anyone(path) == load_meta(path)


def test_a_killed_program_goes_on(tmp_path: Path) -> None:
    """Killed in the third epoch, the directory is in the end as if nobody had, and whoever reads a file with h5py
    and YAML finds in it what we do."""
    check_way(tmp_path, ["--best", "--many"], (2, 2), 4, before=LITTLE)


@pytest.mark.heavy
@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_every_way_to_save_resumes_exactly(tmp_path: Path, way: list[str]) -> None:
    """Best or latest, one file or many, models or weights: the same, on all the data."""
    check_way(tmp_path, way, (5, 20), 8)


# 2: an LSTM, every five epochs.


@pytest.mark.heavy
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


@pytest.mark.heavy
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
    """Begun anew the schedules are wrong, set by hand they are right and the weights are not, restored all is."""
    check_table(start(ACCURATE, tmp_path, before=LITTLE).lines)


@pytest.mark.heavy
def test_the_table_is_the_same_after_a_kill(tmp_path: Path) -> None:
    """In the fourth epoch, on all the data."""
    table, resumed = whole_and_resumed(ACCURATE, tmp_path, (3, 30))
    check_table(table)
    assert resumed == table
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def check_table(table: list[str]) -> None:
    uninterrupted, wrong, by_hand, ours = (line[15:].split() for line in table[1:])
    assert [row[-1] for row in (uninterrupted, wrong, by_hand, ours)] == ["yes", "no", "no", "yes"]
    assert uninterrupted == ours and uninterrupted[:3] == by_hand[:3]
    assert not set(uninterrupted[:3]) & set(wrong[:3])


# 5: improvements and the best.


@pytest.mark.heavy
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


@pytest.mark.parametrize(
    ("data", "name", "shape"),
    [
        ("fashion_mnist", CONVNET, (3, 3, 1, 32)),
        ("cifar10", IMPROVEMENTS, (3, 3, 3, 32)),
        ("reuters", LSTM, (32, 46)),
    ],
)
def test_data_that_can_be_downloaded_is_used_when_it_is_asked_for(
    tmp_path: Path, data: str, name: str, shape: tuple[int, ...]
) -> None:
    """With ``--data`` the loader of that name is called once, and the model has its shape and its classes."""
    first, *rest = start(name, tmp_path, arguments=["--data", data, "--epochs", "1"], before=LITTLE).lines
    assert first == data and data not in rest
    models = [said[SAID.index("model")] for said in contents(tmp_path).values()]
    assert any(f" {shape} " in variable for model in models for variable in model.variables)
