"""A run whose checkpoints are in an object store keeps the same promises as one on a disk."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from signal import SIGTERM, raise_signal
from typing import Any

import keras
import pytest
from commands import run as command
from harness import EPOCHS, Make, PerBatch, Run, Strike, fit, make_model
from kept import kept
from programs import start as start_example
from s3_server import environment, file_system, new_bucket, running
from stores import Requests, checkpoints, die, new_url, objects, put

from callback_state import (
    Checkpoint,
    InUseError,
    ModelCheckpointEnhanced,
    StoppedBySignal,
    StoreError,
    WriteError,
    latest_checkpoint,
    list_checkpoints,
    load_meta,
    reopen,
    restore_callbacks,
    untrusted,
)
from callback_state._store.bucket import lease, places
from callback_state._store.bucket import objects as _objects

pytestmark = pytest.mark.usefixtures("quick_stores")


def callbacks() -> list[Any]:
    return [
        PerBatch(0.02),
        keras.callbacks.EarlyStopping(patience=7),
        keras.callbacks.ReduceLROnPlateau(patience=2),
    ]


def start(url: str, make: Make = callbacks, **options: Any) -> Run | None:
    """A start of a script in a new process."""
    die()
    return fit(url, make, **options)  # type: ignore[arg-type]


def whole(tmp_path: Path, **options: Any) -> Run:
    run = fit(tmp_path / "disk", callbacks, **options)
    assert run is not None
    return run


@pytest.mark.filterwarnings("ignore:.*so training has waited")
@pytest.mark.parametrize("beside", [False, True])
def test_a_run_that_is_killed_goes_on_from_the_bucket(tmp_path: Path, beside: bool) -> None:
    """Killed three times, and each time on a machine that knows nothing: all ends byte for byte as on a disk."""
    url = new_url()
    options = {"checkpoint": {"max_to_keep": 2, "save_on_background": beside}}
    for kill in (2, 3, 6):
        assert start(url, kill=kill, **options) is None
        os.environ["CALLBACK_STATE_CACHE"] = str(tmp_path / f"machine {kill}")
    run = start(url, **options)
    assert run is not None and run.differences(whole(tmp_path, **options)) == []
    assert run.restored.model_path == f"{url}/006.keras" and run.restored.local_path != run.restored.model_path
    names = ["007.keras", "007.keras.callbacks.pkl", "008.keras", "008.keras.callbacks.pkl"]
    assert checkpoints(url) == names


def test_a_checkpoint_is_rebuilt_from_the_bucket(tmp_path: Path) -> None:
    """Without ``into`` the callbacks are made from the objects; the checkpoint among them saves there again."""
    url = new_url()
    assert start(url, kill=4) is None
    run = start(url, into=False)
    assert run is not None and run.differences(whole(tmp_path)) == []
    assert len([name for name in checkpoints(url) if name.endswith(".keras")]) == EPOCHS


def test_a_damaged_object_is_left_aside(tmp_path: Path) -> None:
    """The newest checkpoint that verifies is taken, and the warning names the URL of the other."""
    url = new_url()
    assert start(url, kill=5) is None
    put(url, "005.keras", objects(url)["005.keras"][:-1] + b"x")
    with pytest.warns(UserWarning, match=f"left aside: {url}/005.keras: ") as warned:
        run = start(url)
    assert run is not None and run.restored.model_path == f"{url}/004.keras"
    assert run.differences(whole(tmp_path)) == []
    assert not any("cache" in str(warning.message) for warning in warned)


def test_functions_that_look_take_a_url() -> None:
    """The paths that they return are URLs, which they take again."""
    url = new_url()
    start(url, kill=3)
    die()
    newest = f"{url}/003.keras"
    assert latest_checkpoint(url) == newest and latest_checkpoint(f"{url}-none") is None
    assert [c.path for c in list_checkpoints(url)] == [f"{url}/00{n}.keras" for n in (1, 2, 3)]
    assert load_meta(newest)["epochs"] == [0, 1, 2] and untrusted(newest + ".callbacks.pkl") == []
    assert start(url) is not None
    die()
    assert reopen(url) == f"{url}/008.keras"
    die()
    assert restore_callbacks(url, into=callbacks()).finished is False


@functools.cache
def three() -> dict[str, bytes]:
    """The objects of a run that was killed after three epochs."""
    url = new_url()
    start(url, kill=3)
    die()
    return {name: data for name, data in objects(url).items() if not name.startswith(".")}


@pytest.mark.parametrize(
    "arguments",
    [
        *(("ls",), ("ls", "--json"), ("ls", "--verify"), ("show",), ("verify",), ("verify", "--json")),
        *(("export",), ("doctor",), ("repair",), ("prune", "--keep", "1")),
    ],
    ids=" ".join,
)
def test_each_command_takes_a_url(arguments: tuple[str, ...]) -> None:
    """It prints URLs where it would print paths, and nothing of the near copy."""
    url = new_url()
    for name, data in three().items():
        put(url, name, data)
    die()
    done = command(arguments[0], url, *arguments[1:])
    assert done.status == 0, done.err
    assert "/near/" not in done.out + done.err and places.local(url) not in done.out + done.err
    if arguments[0] == "prune":
        assert checkpoints(url) == ["003.keras", "003.keras.callbacks.pkl"]


def test_an_error_names_the_url() -> None:
    """What is not there, and what is no checkpoint, is told with the URL that the user gave."""
    url = new_url()
    put(url, "001.keras.callbacks.pkl", b"no state")
    with pytest.raises(Exception, match=f"^{url}/001.keras: expected the model file"):
        restore_callbacks(f"{url}/001.keras", into=[])
    assert command("ls", f"{url}/none").err.startswith(f"callback-state: {url}/none: expected")


def test_a_store_that_does_not_answer_does_not_end_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning says what is owed; the next save makes it good, and only then ``on_saved`` is called."""
    url, requests, heard = new_url(), Requests(monkeypatch), []
    refused = iter(range(3))

    def refuse(at: int, verb: str, name: str) -> None:
        if name == "002.keras" and verb == "write" and next(refused, None) is not None:
            raise ConnectionError("no store")

    requests.fault = refuse
    with pytest.warns(UserWarning, match="saved on this machine, and not in the store yet") as warned:
        monkeypatch.setattr(_objects, "TRIES", 1)
        run = start(url, checkpoint={"on_saved": lambda checkpoint: heard.append(checkpoint.path)})
    assert run is not None and len([w for w in warned if "not in the store yet" in str(w.message)]) == 1
    assert [*dict.fromkeys(heard)] == [f"{url}/00{n}.keras" for n in range(1, EPOCHS + 1)]
    assert {f"00{n}.keras" for n in range(1, EPOCHS + 1)} <= {*checkpoints(url)}


@pytest.mark.filterwarnings("ignore:.*not in the store yet")
def test_functions_hear_of_what_is_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever ``on_saved`` is called, the object of which it is told is there."""
    url, requests, heard = new_url(), Requests(monkeypatch), []
    refused = iter([True])

    def refuse(at: int, verb: str, name: str) -> None:
        if name == "002.keras" and verb == "write" and next(refused, False):
            raise ConnectionError("no store")

    def hear(checkpoint: Checkpoint) -> None:
        heard.append(os.path.basename(checkpoint.path) in objects(url))

    requests.fault = refuse
    monkeypatch.setattr(_objects, "TRIES", 1)
    start(url, checkpoint={"on_saved": hear}, epochs=3)
    assert heard == [True] * 4


def test_a_store_that_does_not_answer_ends_training_if_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """``on_save_error="raise"`` raises, and the checkpoint before is whole in the store."""
    url, requests = new_url(), Requests(monkeypatch)

    def refuse(at: int, verb: str, name: str) -> None:
        if name == "003.keras":
            raise ConnectionError("no store")

    requests.fault = refuse
    monkeypatch.setattr(_objects, "TRIES", 1)
    with pytest.raises(WriteError, match="not in the store"), pytest.warns(UserWarning, match="still lacks"):
        start(url, checkpoint={"on_save_error": "raise"})
    die()
    assert latest_checkpoint(url) == f"{url}/002.keras"


def test_a_signal_makes_good_what_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The save of the signal is not taken by the store at first; it is there when the run has stopped."""
    url, requests = new_url(), Requests(monkeypatch)
    refused = iter([True])

    def refuse(at: int, verb: str, name: str) -> None:
        if name == "epoch.interim.keras" and verb == "write" and next(refused, False):
            raise ConnectionError("no store")

    def make() -> list[Any]:
        return [*callbacks(), Strike("train_batch_end", at=1, epoch=2, act=lambda model: raise_signal(SIGTERM))]

    requests.fault = refuse
    monkeypatch.setattr(_objects, "TRIES", 1)
    options = {"checkpoint": {"save_on_signal": True, "exit_code": None}, "position": 1}
    with pytest.warns(UserWarning, match="not in the store yet"), pytest.raises(StoppedBySignal):
        start(url, make, **options)
    requests.fault = None
    die()
    assert latest_checkpoint(url) == f"{url}/epoch.interim.keras"
    assert [checkpoint.batch for checkpoint in list_checkpoints(url)] == [None, None, 1]


def test_a_store_that_cannot_be_reached_is_no_reason_for_an_older_checkpoint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A model that the store does not give now is an error, not a damaged checkpoint."""
    url, requests = new_url(), Requests(monkeypatch)
    for name, data in three().items():
        put(url, name, data)

    def refuse(at: int, verb: str, name: str) -> None:
        if name == "003.keras":
            raise ConnectionError("no store")

    requests.fault = refuse
    monkeypatch.setattr(_objects, "TRIES", 1)
    monkeypatch.setenv("CALLBACK_STATE_CACHE", str(tmp_path / "other"))
    with pytest.raises(StoreError, match=f"{url}/003.keras: .*no store"):
        start(url)


def test_a_lease_that_was_lost_ends_training_before_it_writes() -> None:
    """Another run took the directory: this one puts nothing more there, whatever ``on_save_error`` says."""
    url = new_url()

    def steal(checkpoint: Checkpoint) -> None:
        if checkpoint.epoch == 1:
            (holding,) = places._HOLDINGS.values()
            put(url, lease.NAME, b"{}")
            holding.lease._renewed -= lease.SECONDS

    with pytest.raises(InUseError, match="the lease, found that it has passed") as raised:
        start(url, checkpoint={"on_saved": steal})
    assert raised.value.lost and raised.value.path == url
    assert [name for name in checkpoints(url) if name.endswith(".keras")] == ["001.keras", "002.keras"]


def test_two_checkpoints_of_one_fit_share_a_bucket() -> None:
    """Both hold one lease, and a restart finds the newest of its own name."""
    url = new_url()

    def make() -> list[Any]:
        return [ModelCheckpointEnhanced(f"{url}/best.keras", save_best_only=True, monitor="loss")]

    assert start(url, make, kill=4, position=1) is None
    run = start(url, make, position=1)
    assert run is not None and run.restored.initial_epoch == 4
    assert {"best.keras", "008.keras"} <= {*checkpoints(url)} and lease.NAME not in objects(url)


def test_a_model_is_loaded_from_the_local_path() -> None:
    """Keras opens the verified copy of the object."""
    url = new_url()
    for name, data in three().items():
        put(url, name, data)
    die()
    restored = restore_callbacks(url)
    model = keras.models.load_model(restored.local_path)
    assert [w.shape for w in model.weights] == [w.shape for w in kept(make_model).weights]
    assert repr(restored).startswith(f"<Restored {url}/003.keras: ")


@pytest.mark.heavy
def test_the_example_goes_on_in_s3(tmp_path: Path) -> None:
    """The same before a real server, and each process on a machine of its own."""
    with running() as port:
        server = environment(f"http://127.0.0.1:{port}")
        url = f"s3://{new_bucket(port)}/run"
        for number, dies_at in enumerate(((1, 2), (3, 0), None)):
            variables = {**server, "CALLBACK_STATE_CACHE": str(tmp_path / f"machine {number}")}
            done = start_example("bucket.py", tmp_path, dies_at=dies_at, arguments=[url], environment=variables)
        assert done.out.startswith(f"<Restored {url}/003.keras: ")
        found = sorted(file_system(server["AWS_ENDPOINT_URL"]).ls(url, detail=False))
    assert [name.rpartition("/")[2] for name in found if name.endswith(".keras")] == [
        *("003.keras", "004.keras", "005.keras")
    ]


def test_the_example_goes_on_after_a_kill(tmp_path: Path) -> None:
    """A process that is killed, and one that finishes the run, with a directory as the store."""
    url = f"file://{tmp_path}/store/run"
    options: dict[str, Any] = {
        "arguments": [url],
        "environment": {"CALLBACK_STATE_CACHE": str(tmp_path / "cache")},
    }
    start_example("bucket.py", tmp_path, dies_at=(3, 0), **options)
    done = start_example("bucket.py", tmp_path, **options)
    assert done.out.startswith(f"<Restored {url}/003.keras: ")
    names = [name for name in os.listdir(tmp_path / "store" / "run") if name.endswith(".keras")]
    assert sorted(names) == ["003.keras", "004.keras", "005.keras"]


@pytest.mark.parametrize(
    ("filepath", "complaint"),
    [
        ("s3://{epoch}.keras", "expected a directory in a store"),
        ("nothing://bucket/{epoch}.keras", "fsspec knows no nothing://"),
        ("simplecache::s3://bucket/{epoch}.keras", "expected a directory in a store"),
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(filepath: str, complaint: str) -> None:
    """When the callback is made, not at the first save."""
    with pytest.raises(StoreError, match=complaint):
        ModelCheckpointEnhanced(filepath)
