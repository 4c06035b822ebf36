"""The pytest plugin: fixtures, the marker, and what a failed comparison of records says."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
from programs import Program, path_of

pytest_plugins = ["pytester"]

MARKED = """
    import keras, pytest
    from callback_state import stateful

    class Steps(keras.callbacks.Callback):
        def __init__(self, peak):
            super().__init__()
            self.peak, self.step = peak, 0
        def on_train_batch_begin(self, batch, logs=None):
            self.step += 1
            self.model.optimizer.learning_rate = self.peak / self.step

    @stateful
    class Registered(Steps):
        pass

    @pytest.fixture
    def peak():
        return 0.1

    @pytest.mark.resumes(epochs=3, steps=2, optimizer="numpy")
    def test_right(peak):
        return [Registered(peak)]

    @pytest.mark.resumes(epochs=3, steps=2, optimizer="numpy", at="every epoch")
    @pytest.mark.parametrize("factor", [1, 2])
    def test_wrong(peak, factor):
        return Steps(factor * peak)

    @pytest.mark.resumes(3)
    def test_badly_marked():
        return []

    def test_fixtures(simulate, checkpoint_dir):
        assert list(checkpoint_dir.iterdir()) == []
        record = simulate(Registered(0.5), epochs=1, steps_per_epoch=2, optimizer="numpy")
        assert record.learning_rate == [0.5, 0.25]

    def test_rates(simulate):
        record = simulate(Registered(0.1), epochs=1, steps_per_epoch=3)
        assert record.learning_rate == [0.1, 0.05, 0.03]

    def test_records(simulate):
        a, b = (simulate(Registered(p), epochs=9, steps_per_epoch=9, optimizer="numpy") for p in (0.5, 0.25))
        assert a == b
"""


def test_the_marker_and_the_fixtures(pytester: pytest.Pytester) -> None:
    """What is right passes, as does the short example of the README; what is wrong fails with its cause."""
    example = path_of("test_schedule.py").read_text(encoding="utf-8")
    assert len(example.splitlines()) < 25
    pytester.makepyfile(test_marked=MARKED, test_schedule=example)
    script = pytester.makepyfile(run="import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))")
    options = ("-p", "no:cacheprovider", "--strict-markers", ".")
    output = Program(str(script), str(pytester.path), options).run().out
    assert "5 failed, 4 passed" in output
    assert "at index 2: expected 0.03, found 0.0333" in output and "at index 0" not in output
    assert "after resuming at (1, 0): Steps.step is 0, expected 2; Steps is not registered" in output
    assert "_Whole" not in output and "plugin.py" not in output
    assert "write @pytest.mark.resumes(epochs=..., steps=...)" in output
    assert "<Record of 81 steps, learning rate 0.00617284 in the last> ==" in output
    assert "the learning rate of step (0, 0) is 0.5, expected 0.25" in output


MESSAGES = """
import keras, pytest
from callback_state import stateful

@stateful(exclude=("n",))
class Forgets(keras.callbacks.Callback):
    n = 0
    def on_train_batch_begin(self, batch, logs=None):
        self.n += 1
        self.model.optimizer.learning_rate = 0.1 / self.n

@pytest.mark.resumes(epochs=2, steps=2)
def test_forgets():
    return Forgets()

@pytest.mark.resumes(epochs=2, steps=2)
def test_nothing():
    Forgets()
"""


def test_a_failure_is_told_once_and_without_our_source(pytester: pytest.Pytester) -> None:
    """A message; a function that returns nothing is told what it should return."""
    pytester.makepyfile(MESSAGES)
    output = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rN", timeout=120).stdout.str()
    assert output.count("Forgets.n is excluded from what is saved") == 1
    assert output.count("test_nothing returned nothing. A test with @pytest.mark.resumes") == 1
    assert not any(text in output for text in ("plugin.py", "During handling", "pytest_pyfunc_call", "resumes.py"))


def test_without_being_used_it_loads_nothing(pytester: pytest.Pytester) -> None:
    """Neither Keras nor hypothesis, in anybody's test suite."""
    pytester.makepyfile("""
        import sys
        def test_nothing():
            assert not {"keras", "tensorflow", "numpy", "hypothesis.strategies"} & set(sys.modules)
    """)
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:cacheprovider", timeout=60)
    result.assert_outcomes(passed=1)


SCRIPT = """
import itertools, sys, time
for i in itertools.count():
    print("line", i, sys.argv[1:], flush=True)
    if len(sys.argv) > 1 and i == 3:
        break
    time.sleep(0.01)
"""


def test_a_run_is_killed_at_a_moment(tmp_path: Path, killed_run: object) -> None:
    """When it prints what is waited for; or it ends by itself."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert killed_run(script, when="line 2 ") == ["line 0 []", "line 1 []", "line 2 []"]  # type: ignore[operator]
    assert len(killed_run(script, "x")) == 4  # type: ignore[operator]
    with pytest.raises(pytest.fail.Exception, match="ended with 0 and never printed 'line 9'"):
        killed_run(script, "x", when="line 9")  # type: ignore[operator]
    with pytest.raises(pytest.fail.Exception, match=r"did not end within 1 s and never printed 'never'"):
        killed_run(script, when="never", timeout=1)  # type: ignore[operator]
    script.write_text("raise SystemExit('broken')")
    with pytest.raises(pytest.fail.Exception, match=r"ended with 1\. .*broken"):
        killed_run(script)  # type: ignore[operator]


@pytest.mark.parametrize(
    "name", ["simulation.compared", "simulation.drive", "proof.equal", "proof.resumes", "strategies"]
)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    """As they stand there."""
    found = doctest.testmod(importlib.import_module(f"callback_state.testing.{name}"))
    assert found.failed == 0 and found.attempted > 0
