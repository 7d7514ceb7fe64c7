"""SIGKILL, and errors of the disk, at any call while steps are kept: no step that was told is lost.

Whatever comes between, `dodo exp run` goes on with the same experiment from its last step, no
epoch that was kept runs again, and the model in the workspace is never one that is written half.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dodo_exp.exps import steps
from tests.crash.test_kill_verbs import Ended, Lab, Place
from tests.space import Space, wait_for

FAULTS = ["kill", "EIO", "ENOSPC+", "EROFS+"]
"""dodo is killed; one call fails; the disk is full, or cannot be written to, from that call on."""

ENDS = (1, 5)
"""Exit codes of a run that could not do what it should: a failure, and damage."""

EPOCHS = 4
LONGEST = 40.0
"""Seconds after which a command hangs."""

DVC_YAML = """\
stages:
  prepare: {cmd: cat raw.txt > data.txt, deps: [raw.txt], outs: [data.txt]}
  train:
    cmd: python train.py
    deps: [train.py, data.txt]
    params: [lr, epochs]
    outs: [model.json: {checkpoint: true}]
    metrics: [metrics.json: {cache: false}]
    plots: [curve.csv: {cache: false}]
  evaluate:
    cmd: cat model.json > scores.json
    deps: [model.json]
    metrics: [scores.json: {cache: false}]
"""

TRAIN = '''\
"""Writes the model half, then whole; `stop` says at which epoch to fail, `mode` what to do when
a step is not kept, and whether to ask in DVC's way."""
import json, os, sys, time
from dodo_exp.checkpoint import CheckpointFailed, make_checkpoint

def note(name, text):
    fd = os.open(f"BASE/{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{text}\\n".encode())

def read(name):
    return open(f"BASE/{name}").read().strip() if os.path.exists(f"BASE/{name}") else ""

def ask():
    if read("mode") != "dvc":
        return make_checkpoint()
    signal = os.environ["DVC_ROOT"] + "/.dvc/tmp/DVC_CHECKPOINT"
    os.makedirs(os.path.dirname(signal), exist_ok=True)
    open(signal, "w").close()
    while os.path.exists(signal):
        time.sleep(0.002)
    return "dvc"

params = dict(line.split(": ") for line in open("params.yaml").read().split("\\n") if line)
model = {"epoch": 0, "lr": []}
if os.path.exists("model.json"):
    model = json.load(open("model.json"))
while model["epoch"] < int(params["epochs"]):
    with open("model.json", "w") as file:
        file.write("torn")
    if read("stop") == str(model["epoch"]):
        sys.exit(3)
    model = {"epoch": model["epoch"] + 1, "lr": [*model["lr"], params["lr"]]}
    with open("model.json", "w") as file:
        json.dump(model, file)
    with open("metrics.json", "w") as file:
        json.dump(model, file)
    with open("curve.csv", "a") as file:
        file.write(f"{model['epoch']}\\n" if model["epoch"] > 1 else "epoch\\n1\\n")
    note("ran", model["epoch"])
    try:
        note("kept", f"{model['epoch']} {ask()}")
    except CheckpointFailed as error:
        note("told", error)
        if read("mode") != "on":
            sys.exit(1)
'''


class Case(NamedTuple):
    """A command that is cut short, what comes before it, and the command that goes on."""

    args: tuple[str, ...]
    name: str = "big"
    """The experiment that it makes."""
    prepare: Callable[[Place], object] = lambda place: None
    rates: tuple[str, ...] = ("0.5",) * EPOCHS
    """With which rate each of the epochs was trained in the end."""
    again: tuple[str, ...] = ("exp", "run")
    mode: str = ""
    lacks: frozenset[int] = frozenset()
    """Steps that the command removes."""
    is_queued: bool = False


def _train(place: Place, stop: int | None = None, *args: str) -> None:
    """Train `big`, up to an epoch at which it fails."""
    if stop is not None:
        place.write("../stop", str(stop))
    ended = place.dodo("exp", "run", "-q", "-n", "big", *args)
    assert ended.code == (0 if stop is None else 1), ended
    (place.root.parent / "stop").unlink(missing_ok=True)


def _stopped_at_two(place: Place) -> None:
    _train(place, 2)


def _stopped_at_three(place: Place) -> None:
    _train(place, 3)


def _applied_second(place: Place) -> None:
    _train(place)
    place.well("exp", "apply", "big@2")


def _queued(place: Place) -> None:
    place.well("exp", "run", "--queue", "-n", "big")


def _queued_and_failed(place: Place) -> None:
    _queued(place)
    place.write("../stop", "2")
    place.well("queue", "worker", "-q")
    place.away("../stop")


def _queued_and_retried(place: Place) -> None:
    _queued_and_failed(place)
    place.well("queue", "retry", "--failed")


WORKER = ("queue", "worker", "-q")
CASES = {
    "first": Case(("exp", "run", "-n", "big")),
    "dvc": Case(("exp", "run", "-n", "big"), mode="dvc"),
    "on": Case(("exp", "run", "-n", "big"), mode="on"),
    "next": Case(("exp", "run"), prepare=_stopped_at_two),
    "reset": Case(("exp", "run", "--reset", "-n", "anew"), "anew", _train),
    "branch": Case(
        ("exp", "run", "-n", "side", "-S", "lr=0.25"),
        "side",
        _applied_second,
        ("0.5", "0.5", "0.25", "0.25"),
    ),
    "applied": Case(("exp", "run", "-n", "side"), "side", _applied_second),
    "apply": Case(("exp", "apply", "big@2"), "side", _train, again=("exp", "run", "-n", "side")),
    "remove": Case(("exp", "remove", "big@2"), prepare=_stopped_at_three, lacks=frozenset({2})),
    "remove-last": Case(
        ("exp", "remove", "big@3"), prepare=_stopped_at_three, lacks=frozenset({3})
    ),
    "gc": Case(
        ("gc", "--keep-steps", "2", "--grace", "0"),
        prepare=_stopped_at_three,
        lacks=frozenset({1}),
    ),
    "worker": Case(WORKER, prepare=_queued, again=WORKER, is_queued=True),
    "retry": Case(
        ("queue", "retry", "--failed"), prepare=_queued_and_failed, again=WORKER, is_queued=True
    ),
    "retried": Case(WORKER, prepare=_queued_and_retried, again=WORKER, is_queued=True),
}


class Known(NamedTuple):
    """A case with the project it is tried in, and how many calls it makes when all goes well."""

    case: Case
    folder: Path
    calls: int


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Shared by the module's tests: what they do happens in copies."""
    with Lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


def build(place: Place, mode: str) -> None:
    """The project, with its logs in the folder around it."""
    base = str(place.root.parent)
    place.write("dvc.yaml", DVC_YAML)
    place.write("train.py", TRAIN.replace("BASE", base))
    place.write("params.yaml", f"lr: 0.5\nepochs: {EPOCHS}\n")
    place.write("raw.txt", "raw\n")
    place.write("../mode", mode)


def known(lab: Lab, name: str) -> Known:
    """The case of this name, prepared."""
    case, folder = CASES[name], lab.folder / f"case-{name}"
    count = lab.folder / f"case-{name}.calls"
    if not count.exists():
        tried = lab.folder / "tried"
        shutil.rmtree(tried, ignore_errors=True)
        place = Place(lab, tried / "project")
        build(place, case.mode)
        case.prepare(place)
        place.write("../before", "\n".join(lines(place, "kept")))
        tried.rename(folder)
        ended = lab.copy(folder).dodo(*case.args, fault="kill", when=10**9)
        assert ended.code == 0, ended
        count.write_text(str(ended.calls))
    return Known(case, folder, int(count.read_text()))


# -- looking ---------------------------------------------------------------------------------


def lines(place: Place, name: str) -> list[str]:
    """What the training has noted outside of the project."""
    path = place.root.parent / name
    return path.read_text().splitlines() if path.exists() else []


def tagged(base: Path) -> list[int]:
    """Processes of runs at or below a folder."""
    found, mark = [], os.fsencode(f"{base}/")
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if any(each.startswith(b"DODO_RUN=") and mark in each for each in entries):
                found.append(int(pid))
    return found


def models(place: Place, name: str) -> dict[int, Any]:
    """What model.json is at each step of an experiment; torn ones do not parse."""
    store, found = place.store, {}
    for step in steps.chain(store, store.experiments.get(name)):
        number = step.experiment.step
        if number:
            node = store.find(step.experiment.result, "model.json")
            assert node is not None, f"step {number} has no model"
            assert number not in found
            found[number] = json.loads(store.objects.read(node.oid))
    return found


def model(place: Place) -> Any:
    """What the workspace's model.json is; a torn one does not parse."""
    path = place.root / "model.json"
    return json.loads(path.read_text()) if path.exists() else None


@contextlib.contextmanager
def no_hang(place: Place) -> Iterator[None]:
    """A command that does not end is ended, and the test fails."""
    hung: list[int] = []

    def end() -> None:
        for pid in tagged(place.root.parent):
            hung.append(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(LONGEST, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    assert not hung, "it hangs"


def assert_kept(place: Place, case: Case) -> None:
    """Every step whose call had returned is there, with its own model."""
    for line in lines(place, "kept"):
        epoch, _, told = line.partition(" ")
        name, _, number = told.partition("@")
        if told == "dvc":
            name, number = case.name, epoch
        if int(number) in case.lacks:
            continue
        there = models(place, name)
        assert there[int(number)]["epoch"] == int(epoch), (line, there)


def assert_whole(place: Place, case: Case) -> None:
    """The model is none that is written half, nor older than what was kept last."""
    here = model(place)
    if case.is_queued:
        assert here is None
        return
    kept = lines(place, "kept")[len(lines(place, "before")) :]
    if kept:
        assert here is not None and here["epoch"] >= int(kept[-1].split()[0]), (here, kept)


def look(place: Place, case: Case) -> None:
    """Reading works at once; the next command puts all in order."""
    shown = place.well("exp", "show", "--json")
    json.loads(shown.out)
    wait_for(lambda: not tagged(place.root.parent))
    assert place.well("status").err.count("error:") == 0
    place.names()
    assert_kept(place, case)
    assert_whole(place, case)
    assert place.problems() == 0


def go_on(place: Place, case: Case) -> None:
    """The run goes on to its end: each epoch that was kept has run once."""
    before = place.names()
    is_there = ("experiment", case.name) in before
    has_begun = is_there and bool(models(place, case.name))  # else it has failed without a step
    orders = [case.again]
    if case.is_queued:
        orders = [("queue", "retry", "--failed"), case.again]
    elif not has_begun:
        orders = [case.args] if case.args[1] == "run" else [case.args, case.again]
    with no_hang(place):
        for order in orders:
            place.well(*order)
    found = models(place, case.name)
    told = case.mode == "on" and lines(place, "told")  # it went on without a step
    rates = {step: each["lr"] for step, each in found.items()}
    assert rates[max(rates)] == list(case.rates), rates
    for step, each in found.items():
        assert each["epoch"] == step or (told and each["epoch"] > step), found
    assert told or set(range(1, EPOCHS + 1)) - case.lacks <= found.keys() <= set(
        range(1, EPOCHS + 1)
    )
    assert is_there or case.is_queued or len(place.names() - before) == 1
    if not case.is_queued:
        assert model(place) == found[max(found)]
        curve = (place.root / "curve.csv").read_text().split()[1:]
        assert [int(word) for word in curve] == list(range(1, EPOCHS + 1))
        assert json.loads((place.root / "scores.json").read_text()) == found[max(found)]
    gone = tuple(f"@{step}" for step in case.lacks)  # these may be trained again
    kept = [line for line in lines(place, "kept") if not line.endswith((" dvc", *gone))]
    assert len(kept) == len(set(kept)), kept
    place.well("snapshot", "-n", "last")
    place.well("exp", "show")
    assert place.problems() == 0
    assert place.leftovers() == []


def fail_at(lab: Lab, name: str, fault: str, when: int = 1, where: str = "") -> Ended:
    """One round: that call fails; look; go on."""
    tried = known(lab, name)
    place = lab.copy(tried.folder)
    with no_hang(place):
        ended = place.dodo(*tried.case.args, fault=fault, when=when, where=where)
    if fault == "kill":
        assert ended.code == -9 or (ended.code == 0 and tried.calls - when < 24), ended
    elif ended.code:
        assert ended.code in ENDS, ended
        errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, ended
    look(place, tried.case)
    go_on(place, tried.case)
    return ended


# -- every call ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_after_a_fault_no_step_is_lost(lab: Lab, name: str) -> None:
    fault = random.choice(FAULTS)
    fail_at(lab, name, fault, random.randint(1, known(lab, name).calls))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CASES)
def test_after_a_fault_at_each_call_no_step_is_lost(lab: Lab, name: str, fault: str) -> None:
    """STRIDE in the environment takes a part of the calls."""
    calls = range(1, known(lab, name).calls + 1)
    stride = int(os.environ.get("STRIDE", "1"))
    bad: dict[int, str] = {}
    for when in calls[random.randrange(stride) :: stride]:
        try:
            fail_at(lab, name, fault, when)
        except (AssertionError, LookupError, ValueError) as error:
            bad[when] = f"{type(error).__name__}: {error}"[:1500]
    assert not bad, "\n".join(f"== {name} {fault} call {n} of {len(calls)}: {bad[n]}" for n in bad)


# -- single moments --------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["first", "reset", "branch"])
def test_a_journal_that_cannot_be_written_loses_no_step(lab: Lab, name: str, fault: str) -> None:
    for when in range(1, 14):
        fail_at(lab, name, fault, when, "(write|fsync) .*journal$")


def test_a_reset_whose_first_step_cannot_be_noted_ends_with_one_clear_line(lab: Lab) -> None:
    fail_at(lab, "reset", "EIO", 7, r"(write|fsync) .*\.journal$")


def test_a_kill_while_the_first_step_gets_its_name_does_not_orphan_it(lab: Lab) -> None:
    fail_at(lab, "first", "kill", 1, "rename .*/workspace$")


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC+", "EROFS+"])
def test_a_pointer_that_cannot_be_written_does_not_lose_the_new_training(
    lab: Lab, fault: str
) -> None:
    fail_at(lab, "reset", fault, 1, "rename .*/workspace$")


BIG = """\
import os
from dodo_exp import make_checkpoint

epoch = int(open("model.bin", "rb").read(8)) if os.path.exists("model.bin") else 0
while epoch < 10:
    epoch += 1
    with open("model.bin", "wb") as file:
        file.write(b"%8d" % epoch + os.urandom(1 << 20))
    print(make_checkpoint(), flush=True)
"""


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """A disk with room for eight MiB."""
    if os.getuid() != 0:
        pytest.skip("only root may mount")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(command).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_costs_no_step_and_the_run_goes_on_when_there_is_room(space: Space) -> None:
    folder, outside = space.base / "small", space.root
    with mounted(folder):
        space.root = folder
        line = "{cmd: python t.py, deps: [t.py], outs: [model.bin: {checkpoint: true}]}"
        space.write("dvc.yaml", f"stages: {{t: {line}}}\n")
        space.write("t.py", BIG)
        process = space.start("exp", "run", "-n", "big")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, out
        assert err.count("\nerror: ") == 1 and "No space left on device" in err
        last = err.split("Kept big@")[-1].split()[0]
        assert json.loads(space.dodo("exp", "show", "--json").out)
        space.check()
        for _ in range(2):
            space.dodo("gc", "--keep-steps", "1", "--grace", "0")
        subprocess.run(["mount", "-o", "remount,size=40m", folder], check=True)
        ran = space.dodo("exp", "run")
        assert f"Kept big@{int(last) + 1}" in ran.err and "Kept big@10" in ran.err
        assert (folder / "model.bin").read_bytes()[:8] == b"      10"
        space.check()
    space.root = outside
