"""SIGKILL, and errors of the disk, at any call: the queue loses and doubles nothing."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dodo_exp.exps import queue
from dodo_exp.exps.record import load
from tests.crash.test_kill_verbs import Lab, Place, spread

FAULTS = ["kill", "EIO", "ENOSPC+", "EROFS+"]
RATES = {"q-1": 0.3, "q-2": 0.4}


class Verb(NamedTuple):
    """A command, what comes before it, and the experiments that there are in the end."""

    args: tuple[str, ...]
    prepare: Callable[[Place], object]
    wanted: frozenset[str]
    may_lack: bool = False
    """Whether they may be missing after a fault: the command makes or removes them."""


def _queue(place: Place) -> None:
    place.well("exp", "run", "--queue", "-S", "train.lr=0.3,0.4", "-n", "q")


def _fail(place: Place) -> None:
    """Two that have failed, and would go well now."""
    _queue(place)
    place.write("../stop", "")
    ended = place.dodo("queue", "worker", "-q")
    assert ended.code == 0, ended
    place.away("../stop")


def _queue_again(place: Place) -> None:
    _fail(place)
    place.well("queue", "retry", "--failed")


BOTH = frozenset(RATES)
VERBS = {
    "queue": Verb(
        ("exp", "run", "--queue", "-S", "train.lr=0.3,0.4", "-n", "q"), lambda p: None, BOTH, True
    ),
    "worker": Verb(("queue", "worker", "-q"), _queue, BOTH),
    "retry": Verb(("queue", "retry", "--failed"), _fail, BOTH),
    "rerun": Verb(("queue", "worker", "-q"), _queue_again, BOTH),
    "remove": Verb(("exp", "remove", "q-1"), _queue, BOTH, True),
    "temp": Verb(
        ("exp", "run", "--temp", "-q", "-S", "train.lr=0.3", "-n", "q-1"),
        lambda p: None,
        frozenset({"q-1"}),
        True,
    ),
}


class Known(NamedTuple):
    """A verb with the project it is tried in."""

    verb: Verb
    folder: Path
    calls: int


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Shared by the module's tests: what they do happens in copies."""
    with Lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


def known(lab: Lab, name: str) -> Known:
    """The verb of this name, and how many calls it makes when nothing goes wrong."""
    folder = lab.folder / f"queue-{name}"
    verb = VERBS[name]
    note = lab.folder / f"queue-{name}.calls"
    if not folder.exists():
        place = lab.begin(folder)
        text = (place.root / "dvc.yaml").read_text()
        stop = f"test ! -e {lab.folder}/tried/stop && cat parts"
        place.write("dvc.yaml", text.replace("cat parts", stop))
        shutil.rmtree(lab.folder / "tried", ignore_errors=True)
        folder.rename(lab.folder / "tried")
        verb.prepare(Place(lab, lab.folder / "tried" / "project"))
        (lab.folder / "tried").rename(folder)
        ended = lab.copy(folder).dodo(*verb.args, fault="kill", when=10**9)
        assert ended.code == 0, ended
        note.write_text(str(ended.calls))
    return Known(verb, folder, int(note.read_text()))


def states(place: Place) -> dict[str, str]:
    """Name -> state of what is in the queue."""
    rows = json.loads(place.well("queue", "status", "--json").out)["experiments"]
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names), names
    files = [file.name for file in (place.root / ".dodo" / "queue").glob("*/0*~*")]
    numbers = [name.partition("~")[0] for name in files]
    assert len(set(numbers)) == len(numbers), files
    return {row["name"]: row["state"] for row in rows}


def rate(place: Place, name: str) -> object:
    """The learning rate of an experiment that went well; it has all its outputs."""
    store = place.store
    oid = store.experiments.get(name)
    assert oid is not None
    made = load(store, oid)
    assert not made.error, made.error
    model = store.find(made.result, "model.txt")
    assert model is not None and store.is_whole(made.result)
    value = made.params["params.yaml"]["data"]["train"]["lr"]
    assert f"lr: {value}".encode() in store.objects.read(model.oid)
    return value


def fail_at(lab: Lab, name: str, fault: str, when: int) -> None:
    """One round: that call fails; then all that waits is run, and all is as it should be."""
    tried = known(lab, name)
    place = lab.copy(tried.folder)
    before = place.tree()
    ended = place.dodo(*tried.verb.args, fault=fault, when=when)
    assert place.tree() == before
    found = states(place)
    if tried.verb.may_lack:
        wanted = {each for each in tried.verb.wanted if each in found}
        if ended.code == 0:
            assert wanted == ({"q-2"} if name == "remove" else tried.verb.wanted)
    else:
        wanted = set(tried.verb.wanted)
        assert found.keys() == wanted
    # Whatever did not go well has another turn; once the disk is well it goes well.
    place.well("queue", "retry", "--failed")
    place.well("queue", "worker", "-q")
    assert states(place) == dict.fromkeys(wanted, queue.SUCCESS)
    assert {each: rate(place, each) for each in wanted} == {each: RATES[each] for each in wanted}
    assert place.tree() == before
    place.well("snapshot", "-n", "last")
    assert place.problems() == 0
    assert place.leftovers() == []
    workspaces = place.root / ".dodo" / "workspaces"
    assert sum(each.is_dir() for each in workspaces.glob("*")) <= 1


@pytest.mark.parametrize("name", VERBS)
def test_after_a_fault_no_experiment_is_lost(lab: Lab, name: str) -> None:
    calls = spread(known(lab, name).calls, 2)
    for fault, when in zip(random.sample(FAULTS, 2), calls, strict=True):
        fail_at(lab, name, fault, when)


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", VERBS)
def test_after_a_fault_at_each_call_no_experiment_is_lost(lab: Lab, name: str, fault: str) -> None:
    for when in range(1, known(lab, name).calls + 1):
        fail_at(lab, name, fault, when)


@pytest.mark.soak
def test_after_faults_at_many_calls_no_experiment_is_lost_sample(lab: Lab) -> None:
    for name in VERBS:
        for fault in FAULTS:
            for when in spread(known(lab, name).calls, 2):
                fail_at(lab, name, fault, when)
