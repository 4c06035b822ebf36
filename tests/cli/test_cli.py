"""The command line as a whole: its help, its exit statuses, what it never does, and what it never prints."""

from __future__ import annotations

import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from commands import put, put_run, run
from places import GOLDEN, ROOT
from recorded_runs import doubt, write_run
from states import flip

from callback_state._store import lock
from callback_state._store.pair import SUFFIX
from callback_state.cli import COMMANDS, _group, main
from callback_state.cli.commands import ls
from callback_state.cli.shell.exits import ALWAYS, Exit

#: By command the arguments after which a path is expected.
READING: dict[str, list[str]] = {"ls": [], "show": [], "verify": [], "export": [], "diff": ["ckpt/001.keras"]}
#: ANSI sequences, bells, and what turns the direction of writing; line ends are none.
STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
NASTY = "a\x1b]0;title\x07\x9b31m[bold red]x[/]\u202e\r\nb"


def commands() -> dict[str, Any]:
    context = click.Context(_group)
    return {name: _group.get_command(context, name) for name in COMMANDS}


EXAMPLES = {line: name for name, command in commands().items() for line in command.examples}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_is_a_page(name: str) -> None:
    """It says what the command does in a line, gives examples, and names each exit status with its meaning."""
    page = run(name, "--help")
    assert page.status == Exit.OK and page.err == ""
    for heading in ("NAME:", "SYNOPSIS:", "DESCRIPTION:", "OPTIONS:", "EXAMPLES:", "EXIT STATUS:"):
        assert heading in page.lines
    assert f"callback-state {name} - " in page.out
    statuses = {int(found) for found in re.findall(r"^  (\d+) +[A-Z_]+: ", page.out, re.MULTILINE)}
    assert statuses >= {*ALWAYS} and statuses <= {*Exit}


def test_every_exit_status_is_named_in_the_help_of_all() -> None:
    """With its number and its meaning, however the lines are broken."""
    page = " ".join(run("--help").out.split())
    for status in Exit:
        assert f"{int(status)} {status.name}: {status.meaning}" in page


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two runs of three epochs, of which the second has another last value."""
    put_run(tmp_path / "ckpt", [0.5, 0.25, 0.75], states={"Steps": {"step": 1}})
    put_run(tmp_path / "other", [0.5, 0.25, 1.0], states={"Steps": {"step": 2}})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_runs(line: str, here: Path) -> None:
    """As it stands in the help, in a directory as it supposes; it exits with a status that the help names."""
    write_run(here / "ckpt", epochs=7, restarts=False, versions={})
    write_run(here / "runs" / "a" / "ckpt", restarts=False, versions={})
    shutil.copy(ROOT / "examples/train.py", here)
    program, *argv = shlex.split(
        line.partition(" | ")[0] if "eval" not in line else "callback-state completion bash"
    )
    assert program == "callback-state"
    status = run(*argv).status
    assert status == (Exit.DIFFERENT if argv[0] == "diff" else Exit.OK)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str) -> None:
    """It calls this program back, and has no word of the machine that printed it."""
    script = run("completion", shell)
    assert script.status == Exit.OK
    assert "_CALLBACK_STATE_COMPLETE" in script.out and str(ROOT) not in script.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("callback-state v", "plain,verify"),
        ("callback-state prune --keep-", "plain,--keep-best"),
        ("callback-state show ", "file,"),
        ("callback-state completion f", "plain,fish"),
    ],
    ids=["command", "option", "path", "choice"],
)
def test_a_command_line_is_completed(
    words: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Commands, options and choices by what there is, paths by the shell."""
    monkeypatch.setenv("_CALLBACK_STATE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert main([]) == Exit.OK
    assert expected in capsysbinary.readouterr().out.decode().splitlines()


WRONG = ["nope", "ls --nope", "show", "prune ckpt", "ls ckpt --watch --verify", "export ckpt --csv --json"]


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_line_is_told(line: str, here: Path) -> None:
    """On standard error, with status 2; so are two options that exclude each other."""
    done = run(*line.split())
    assert done.status == Exit.USAGE and done.out == "" and "Error: " in done.err


@pytest.mark.parametrize("name", READING)
def test_what_is_not_there_is_told(name: str, here: Path) -> None:
    """One message on standard error that names the path, and a status of its own."""
    done = run(name, *READING[name], "nowhere")
    assert done.status == Exit.NOT_FOUND and done.out.count("\n") <= 2
    assert done.err.startswith("callback-state: nowhere: expected ") and "Traceback" not in done.err


def test_an_error_of_the_system_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it comes from far below."""
    monkeypatch.setattr(os, "listdir", lambda path: (_ for _ in ()).throw(PermissionError(13, "no", path)))
    done = run("ls", "ckpt")
    assert (done.status, done.out, done.err) == (Exit.FAILED, "", "callback-state: [Errno 13] no: 'ckpt'\n")


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_what_does_not_fit_is_told(error: type[Exception], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may be larger than the memory."""
    from callback_state.cli.commands import show

    monkeypatch.setattr(show, "described", lambda found: (_ for _ in ()).throw(error()))
    done = run("show", "ckpt")
    assert done.status == Exit.FAILED and error.__name__ in done.err and done.out == ""


@pytest.mark.parametrize("name", ["prune", "repair"])
def test_a_directory_in_use_is_told(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is changed in a directory into which another process writes, which the message names."""
    code = (
        "import sys; from callback_state._store import lock; h = lock.hold('ckpt'); print(1, flush=True); input()"
    )
    monkeypatch.setattr(lock, "PATIENCE", 0)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "1\n"
        before = sorted(os.listdir("ckpt"))
        done = run(name, "ckpt", *(["--keep", "1"] if name == "prune" else []))
        assert sorted(os.listdir("ckpt")) == before
        holder.communicate("\n")
    assert done.status == Exit.IN_USE and f"process {holder.pid}" in done.err and done.out == ""


def test_ctrl_c_ends_a_watch(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the status by which a shell knows it, without a traceback; what was seen is printed."""

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ls.time, "sleep", interrupt)
    done = run("ls", "ckpt", "--watch")
    assert done.status == Exit.INTERRUPTED and len(done.lines) == 3 and done.err == ""


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise")
def test_a_pipe_that_closes_is_no_error(here: Path) -> None:
    """Whoever has read enough gets no complaint, and the command the status of a closed pipe."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "callback_state", "ls", "ckpt"],
        stdout=write,
        stderr=subprocess.PIPE,
        cwd=here,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        timeout=60,
        text=True,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (Exit.CLOSED, "")


def test_no_command_imports_tensorflow_or_unpickles(tmp_path: Path) -> None:
    """In a process of its own, in which every way to unpickle raises, each reading command reads a golden file."""
    golden = sorted(GOLDEN.rglob("numbers"))[-1].parent
    code = f"""
import pickle, sys
from callback_state.cli import main
def refuse(*args, **options):
    raise AssertionError("unpickled")
from callback_state._format import opener
for name in ("_Trusting", "_Named"):
    setattr(opener, name, refuse)
pickle.load = pickle.loads = pickle.Unpickler = pickle._Unpickler = pickle._load = pickle._loads = refuse
for state in ("code-by-value", "arrays", "classes"):
    for argv in (["ls"], ["ls", "--verify"], ["show"], ["verify"], ["export"], ["diff", "{golden}/numbers"]):
        assert main([*argv, f"{golden}/{{state}}"]) in (0, 1), argv
found = {{"tensorflow", "keras", "h5py", "cloudpickle"}} & set(sys.modules)
print(*sorted(found), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "\n")


def test_a_listing_imports_neither_numpy_nor_rich(here: Path) -> None:
    """As nobody looks at a terminal, and no array is shown: that would double the time of the start."""
    code = "import sys, callback_state.cli as c; c.main(['ls', 'ckpt']); sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, timeout=60)
    assert done.stdout.count("\n") == 4
    assert {"numpy", "rich", "filelock", "asyncio", "callback_state.cli.commands.show"}.isdisjoint(
        done.stderr.split()
    )


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("name", [*READING, "prune"])
def test_nothing_that_steers_a_terminal_is_printed(
    name: str, terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a name, a key, a text or a file's name holds: it is escaped, and is no markup."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    put(Path("ckpt"), "001.keras", 0)
    hostile: dict[str, Any] = {
        "monitor": (NASTY, 1.0),
        "template": f"{NASTY}.keras",
        "doubts": [doubt(NASTY, NASTY)],
    }
    hostile |= {"history": {"epochs": [0], "series": {NASTY: [NASTY]}}, "versions": {NASTY: NASTY}}
    hostile |= {"training_args": {NASTY: NASTY}}
    path = put(Path("nasty"), f"m{NASTY}.keras".replace("/", "|"), 3, {NASTY: {NASTY: {NASTY: NASTY}}}, **hostile)
    damaged = put(Path("nasty"), f"d{NASTY}.keras".replace("/", "|"), 4, template=NASTY)
    flip(Path(f"{damaged}{SUFFIX}"))
    argv = [*READING.get(name, ["--keep", "1"]), "nasty" if name != "show" else path]
    done = run(name, *argv, terminal=terminal)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", done.out + done.err) if terminal else done.out + done.err
    assert "\\x1b" in done.out + done.err and not STEERS.search(shown)
    assert "[bold red]" in shown or "[/" not in shown


@pytest.mark.parametrize("argv", [["ls"], ["show"], ["diff", "ckpt/001.keras"], ["doctor"]], ids=" ".join)
def test_colours_are_for_terminals(argv: list[str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There they are; with ``NO_COLOR`` there is no escape sequence at all, and in a pipe never."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in run(*argv, "ckpt", terminal=True).out
    assert "\x1b" not in run(*argv, "ckpt").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run(*argv, "ckpt", terminal=True).out


@pytest.mark.parametrize("argv", [["show"], ["diff", "ckpt/001.keras"], ["doctor"]], ids=" ".join)
def test_sentences_are_broken_between_words(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal no line is longer than it, but for a word that is; in a pipe nothing is broken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    put(Path("ckpt"), "001.keras", 0, {"Steps": {"step": 1, "words": "a b c " * 30}})
    doubts = [doubt("arrays are shuffled without a seed", "call it " * 20)]
    put(Path("ckpt"), "002.keras", 1, {"Steps": {"step": 2, "words": "c d e " * 30}}, doubts=doubts)
    shown, piped = run(*argv, "ckpt", terminal=True).out, run(*argv, "ckpt").out
    assert max(map(len, piped.splitlines())) > 80
    assert [line for line in shown.splitlines() if len(line) > 40 and " " in line.strip()] == []
    assert shown.split() == piped.split()


@pytest.mark.parametrize("width", [200, 60, 30])
def test_a_narrow_terminal_shows_all_the_same(width: int, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The less needed columns go first; then each checkpoint gets lines of its own. No row is broken."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", run("ls", "ckpt", terminal=True).out)
    for text in ("001.keras", "002.keras", "003.keras", "0.25", "best", "latest"):
        assert text in shown
    lines = shown.splitlines()
    assert len(lines) == 4 if width >= 60 else len(lines) > 15
    assert width < 60 or max(map(len, lines)) <= width


def test_an_encoding_without_a_character_is_no_error(tmp_path: Path) -> None:
    """It is escaped."""
    put(tmp_path, "m\u20ac.keras", 0, {"C": {"\u4e2d": "\u4e2d"}})
    done = subprocess.run(
        [sys.executable, "-m", "callback_state", "show", str(tmp_path)],
        capture_output=True,
        cwd=ROOT,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"") and b"\\u4e2d" in done.stdout


def test_a_name_of_any_length_is_padded_no_further(tmp_path: Path) -> None:
    """Else one long name would make each line as long."""
    states = {"C": {"x" * 100_000: 1, **{f"a{i}": i for i in range(1000)}}}
    put(tmp_path, "m.keras", 1, states, monitor=("y" * 100_000, 1.0))
    for argv in (["show"], ["ls"]):
        assert len(run(*argv, tmp_path).out) < 400_000


def test_main_returns_and_never_exits() -> None:
    """A program can call it: also where click would end the process."""
    assert [main(argv) for argv in (["--version"], ["--help"], ["nope"])] == [0, 0, 2]
    assert pickle.loads(pickle.dumps(Exit.DAMAGED)) is Exit.DAMAGED
    assert lock._LOCKS == {}
