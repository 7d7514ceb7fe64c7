"""What stages share is never given out twice, is never lost, and is asked for in words."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dodo_exp.engine.slots import Pool, Slots, Taken, pool, pools
from dodo_exp.errors import BadInput, Location
from dodo_exp.pipeline.needs import Needs, of
from dodo_store import locks
from tests.space import Space, kill_tree, wait_for

HERE = Location("dvc.yaml", 1, 1)

# -- pools -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "total, amount, at_once",
    [
        (1, 1, 1),
        (2, 1, 2),
        (60, 1, 60),
        (2, 0.5, 2),
        (16e9, 8e9, 2),
        (16e9, 5e9, 3),
        (16e9, 16e9, 1),
        (0.5, 0.5, 1),
        (100, 30, 3),
        (48e9, 16e9, 3),
        (24e9, 8e9, 3),
        (1.5, 0.5, 3),
    ],
)
def test_no_more_fits_into_a_pool_than_there_is(total: float, amount: float, at_once: int) -> None:
    made = pool("x", total)
    assert made.units // made.count(amount) == at_once


@pytest.mark.parametrize("total", [1, 3, 63, 64, 65, 100, 1.5, 2.5, 7.3, 16e9, 64 * 1024**3, 1e12])
def test_rounding_never_gives_out_more_than_there_is(total: float) -> None:
    made = pool("x", total)
    for parts in range(1, 200):
        amount = total / parts
        assert made.units // made.count(amount) <= parts
        assert (made.units // made.count(amount)) * amount <= total * (1 + 1e-9)


@pytest.mark.parametrize(
    "total, amounts",
    [
        (8, [2.5]),
        (3, [1.5]),
        (48e9, [16e9, 1e8]),
        (100, [33.3, 1.5]),
        (7, [2.1, 0.6]),
        (10, [9, 1]),
    ],
)
def test_amounts_together_are_never_more_than_there_is(total: float, amounts: list[float]) -> None:
    """The largest as often as they fit, then the next."""
    made = pool("x", total)
    left, given = made.units, 0.0
    for amount in amounts:
        count = made.count(amount)
        given += (left // count) * amount
        left %= count
    assert given <= total * (1 + 1e-9)


def test_processors_and_memory_are_known_without_settings() -> None:
    known = pools({})
    assert known["cpu"].units >= 1
    assert known["mem"].units * known["mem"].unit > 1e8


def test_the_settings_say_what_there_is() -> None:
    known = pools({"cpu": 3.0, "gpu": ("3", "5")})
    assert known["cpu"] == Pool("cpu", 3, 1.0)
    assert known["gpu"] == Pool("gpu", 2, 1.0, ("3", "5"))


def nobody(what: str, owner: str, is_idle: bool) -> None:
    """Tell nobody who waits."""


class Bench:
    """Pools, and threads that want something of them."""

    def __init__(self, folder: Path, **sizes: float) -> None:
        self.folder = folder
        self.known = {name: pool(name, size) for name, size in sizes.items()}
        self.begun: list[str] = []
        self.threads: list[threading.Thread] = []

    def take(
        self,
        wants: Needs,
        who: str = "me",
        stopping: Callable[[], bool] = lambda: False,
        budget: Pool | None = None,
    ) -> contextlib.AbstractContextManager[Taken | None]:
        slots = Slots(str(self.folder), self.known)
        return slots.take(wants, budget, who, nobody, stopping)

    def want(self, wants: Needs, who: str, leave: threading.Event) -> None:
        """In a thread: take, note it, and hold until *leave*."""

        def run() -> None:
            with self.take(wants, who) as taken:
                assert taken is not None
                self.begun.append(who)
                leave.wait(30)

        thread = threading.Thread(target=run)
        thread.start()
        self.threads.append(thread)

    def turn_is_held(self, name: str) -> bool:
        [host] = self.folder.iterdir()
        return not locks.is_free(f"{host}/{name}/turn")

    def end(self) -> None:
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench with two devices, ended in the end."""
    made = Bench(tmp_path / "slots", gpu=2, a=1, b=1)
    yield made
    made.end()


def test_units_are_free_again_when_the_block_ends(bench: Bench) -> None:
    for _ in range(3):
        with bench.take(Needs((("gpu", 2),))) as taken:
            assert taken is not None and taken.resources == {"gpu": [0, 1]}


def test_two_holders_have_other_units(bench: Bench) -> None:
    with bench.take(Needs((("gpu", 1),))) as one, bench.take(Needs((("gpu", 1),))) as two:
        assert one is not None and two is not None
        assert sorted(one.resources["gpu"] + two.resources["gpu"]) == [0, 1]


def test_who_asks_for_nothing_waits_for_nothing(bench: Bench) -> None:
    with bench.take(Needs((("gpu", 2),), ("db",))), bench.take(Needs()) as taken:
        assert taken is not None and taken.resources == {}


def test_who_waits_is_told_for_what_and_whom(bench: Bench) -> None:
    told: list[tuple[str, str, bool]] = []
    with bench.take(Needs((("gpu", 2),)), "somebody"):
        slots = Slots(str(bench.folder), bench.known)
        until = time.monotonic() + 1

        def stopping() -> bool:
            return time.monotonic() > until

        one = Needs((("gpu", 1),))
        with slots.take(one, None, "me", lambda *each: told.append(each), stopping) as taken:
            assert taken is None
    assert told == [("gpu", "somebody", True)]


def test_who_gives_up_leaves_nothing_taken(bench: Bench) -> None:
    with bench.take(Needs(mutex=("db",))):
        begun = time.monotonic()
        wants = Needs((("a", 1), ("gpu", 2)), ("db",))
        with bench.take(wants, stopping=lambda: time.monotonic() > begun + 0.3) as taken:
            assert taken is None
    with bench.take(wants) as taken:
        assert taken is not None


def test_an_error_in_the_block_frees_the_units(bench: Bench) -> None:
    with pytest.raises(ValueError, match="oops"), bench.take(Needs((("gpu", 2),))):
        raise ValueError("oops")
    with bench.take(Needs((("gpu", 2),)), stopping=lambda: False) as taken:
        assert taken is not None and taken.resources == {"gpu": [0, 1]}


def test_one_that_needs_many_is_not_passed_by(bench: Bench) -> None:
    """It stands first in the line; those who come later and need less wait behind it."""
    first, big, small = threading.Event(), threading.Event(), threading.Event()
    small.set()
    bench.want(Needs((("gpu", 1),)), "first", first)
    wait_for(lambda: bench.begun == ["first"])
    bench.want(Needs((("gpu", 2),)), "big", big)
    wait_for(lambda: bench.turn_is_held("pool-gpu"))
    for i in range(10):
        bench.want(Needs((("gpu", 1),)), f"small{i}", small)
    time.sleep(0.5)
    assert bench.begun == ["first"]
    first.set()
    wait_for(lambda: len(bench.begun) > 1)
    assert bench.begun == ["first", "big"]
    big.set()
    bench.end()
    assert len(bench.begun) == 12


def test_needs_in_any_order_never_wait_for_each_other(bench: Bench) -> None:
    leave = threading.Event()
    leave.set()
    wants = [
        Needs((("a", 1), ("b", 1))),
        Needs((("b", 1), ("a", 1))),
        Needs((("b", 1),), ("x", "y")),
        Needs((("a", 1),), ("y", "x")),
        Needs((("gpu", 2), ("a", 1)), ("x",)),
    ]
    for i in range(40):
        bench.want(wants[i % len(wants)], str(i), leave)
    bench.end()
    assert len(bench.begun) == 40


def test_a_resource_called_as_a_mutex_is_another_thing(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "slots", **{"mutex-db": 2})
    with bench.take(Needs(mutex=("db",))):
        wants = Needs((("mutex-db", 2),))
        until = time.monotonic() + 5
        with bench.take(wants, stopping=lambda: time.monotonic() > until) as taken:
            assert taken is not None and taken.resources == {"mutex-db": [0, 1]}


def test_a_place_among_the_commands_at_once_is_the_last_thing_taken(bench: Bench) -> None:
    """Who waits for something else leaves it to others meanwhile."""
    budget = Pool("jobs-1", 1, 1.0)
    leave = threading.Event()
    bench.want(Needs(mutex=("db",)), "first", leave)
    wait_for(lambda: bench.begun == ["first"])

    def run() -> None:
        with bench.take(Needs(mutex=("db",)), "second", budget=budget):
            bench.begun.append("second")

    waits = threading.Thread(target=run)
    waits.start()
    wait_for(lambda: bench.turn_is_held("mutex-db"))
    with bench.take(Needs(), budget=budget) as taken:
        assert taken is not None and taken.resources == {} and taken.slot == 0
        assert bench.begun == ["first"]
    leave.set()
    waits.join(20)
    assert bench.begun == ["first", "second"]


# -- what a stage may say ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "meta", [None, {}, "text", [], {"dodo": None}, {"dodo": {}}, {"other": {"resources": 1}}]
)
def test_nothing_said_is_nothing_needed(meta: Any) -> None:
    assert of(meta, HERE) == Needs()


def test_an_amount_of_nothing_is_not_needed() -> None:
    assert of({"dodo": {"resources": {"gpu": 0, "cpu": 2}}}, HERE) == Needs((("cpu", 2.0),))


def test_a_mutex_is_one_name_or_several() -> None:
    assert of({"dodo": {"mutex": "db"}}, HERE).mutex == ("db",)
    assert of({"dodo": {"mutex": ["z", "db", "z"]}}, HERE).mutex == ("db", "z")


def test_errors_name_the_place() -> None:
    with pytest.raises(BadInput, match=r"^dvc\.yaml:1:1: "):
        of({"dodo": {"mutexx": "db"}}, HERE)


BAD: dict[str, tuple[Any, str]] = {
    "no such resource": ({"resources": {"tpu": 1}}, "there is no such resource"),
    "misspelt resource": ({"resources": {"gpus": 1}}, "did you mean 'gpu'?"),
    "too much": ({"resources": {"gpu": 3}}, "needs 3 of 'gpu', of which there is 2"),
    "too much memory": ({"resources": {"mem": "17G"}}, "of 'mem'"),
    "words": ({"resources": {"gpu": "many"}}, "'gpu' is not an amount: 'many'"),
    "below zero": ({"resources": {"gpu": -1}}, "'gpu' is not an amount: -1"),
    "a truth": ({"resources": {"gpu": True}}, "'gpu' is not an amount: True"),
    "a list": ({"resources": {"gpu": ["0"]}}, "'gpu' is not an amount"),
    "no mapping": ({"resources": ["gpu"]}, "'meta.dodo.resources' is not a mapping"),
    "no name": ({"resources": {"a b": 1}}, "not a name: 'a b'"),
    "way out": ({"resources": {"../x": 1}}, "not a name: '../x'"),
    "timeout in words": ({"timeout": "soon"}, "'meta.dodo.timeout': not a duration: 'soon'"),
    "timeout of nothing": ({"timeout": 0}, "'meta.dodo.timeout' must be more than 0"),
    "timeout before": ({"timeout": "-1s"}, "'meta.dodo.timeout': not a duration: '-1s'"),
    "mutex number": ({"mutex": 5}, "'meta.dodo.mutex' is neither a name nor a list"),
    "mutex numbers": ({"mutex": [1]}, "'meta.dodo.mutex' is neither a name nor a list"),
    "mutex path": ({"mutex": "../x"}, "'meta.dodo.mutex' is neither a name nor a list"),
    "key": ({"timout": "1s"}, "did you mean 'timeout'?"),
    "script": ({"script": "yes"}, "'meta.dodo.script' is neither true nor false"),
    "text": ("gpu", "'meta.dodo' is not a mapping"),
}
POOLS = '[resources]\ngpu = 2\nmem = "16G"\n'


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_is_refused_before_anything_runs(space: Space, what: str) -> None:
    said, told = BAD[what]
    space.write("dodo.toml", POOLS)
    text = (
        "stages:\n"
        "  first:\n"
        "    cmd: touch ../has-run first\n"
        "    outs: [first]\n"
        "  second:\n"
        "    cmd: touch ../has-run second\n"
        "    outs: [second]\n"
        f"    meta: {{dodo: {json.dumps(said)}}}\n"
    )
    space.write("dvc.yaml", text)
    for verb in (["repro"], ["repro", "--dry"], ["exp", "run"], ["exp", "run", "--temp"]):
        err = space.dodo(*verb, code=2).err
        assert err.startswith(("error: dvc.yaml:5", "error: dvc.yaml:8")), (verb, err)
        assert told in err, (verb, err)
        assert not (space.base / "has-run").exists()


def test_what_cannot_be_is_refused_when_it_is_queued(space: Space) -> None:
    project(space, {"a": {"resources": {"gpu": 3}}}, "gpu = 2")
    assert "needs 3 of 'gpu'" in space.dodo("exp", "run", "--queue", code=2).err
    assert space.dodo("exp", "run", "--run-all").out == "No experiments in the queue.\n"


@pytest.mark.parametrize(
    "line", ["gpu = 0", "gpu = -1", "gpu = []", 'gpu = "many"', "gpu = true", "gpu = nan"]
)
def test_settings_that_cannot_be_are_refused(space: Space, line: str) -> None:
    project(space, {"a": {}}, line)
    err = space.dodo("repro", code=2).err
    assert "dodo.toml" in err and "gpu" in err
    assert not space.exists("a.out")


def test_a_device_is_named_once(space: Space) -> None:
    project(space, {"a": {"resources": {"gpu": 2}}}, 'gpu = ["3", "3"]')
    space.dodo("repro", code=2)


# -- stages that share -------------------------------------------------------------------------


def project(space: Space, stages: dict[str, Any], pools_: str, nap: float = 0.1) -> None:
    """Stages with these needs; each leaves a line outside as it begins and as it ends."""
    trace = space.base / "trace"
    made: dict[str, dict[str, Any]] = {}
    for name, needs in stages.items():
        facts = "\\${CUDA_VISIBLE_DEVICES:--} \\${DODO_SLOT:--}"
        begin = f'echo "+ {name}.$DODO_EXP_NAME {facts}" >> {trace}'
        end = f'echo "- {name}.$DODO_EXP_NAME" >> {trace}'
        cmd = f"{begin}; sleep {nap}; {end}; touch {name}.out"
        made[name] = {"cmd": cmd, "outs": [f"{name}.out"], "params": ["x"]}
        if needs:
            made[name]["meta"] = {"dodo": needs}
    space.write("dvc.yaml", json.dumps({"stages": made}))
    space.write("params.yaml", "x: 0\n")
    space.write("dodo.toml", f"[resources]\n{pools_}\n")


class Seen:
    """What the trace says."""

    def __init__(self, space: Space) -> None:
        self.most = 0
        self.begun: list[str] = []
        self.devices: dict[str, str] = {}
        self.pairs: list[tuple[str, str]] = []
        """Whoever were there at the same time."""
        self.slots: dict[str, str] = {}
        active: list[str] = []
        path = space.base / "trace"
        for line in path.read_text().splitlines() if path.exists() else ():
            sign, name, *facts = line.split()
            if sign == "-":
                active.remove(name)
                continue
            self.pairs += [(other, name) for other in active]
            active.append(name)
            self.begun.append(name)
            self.devices[name], self.slots[name] = facts
            self.most = max(self.most, len(active))
        self.left = active

    def together(self, *stages: str) -> int:
        """How many pairs among stages of these names there were at the same time."""
        return sum(
            1
            for one, two in self.pairs
            if one.split(".")[0] in stages and two.split(".")[0] in stages
        )


def queued(space: Space, count: int, *more: str) -> None:
    values = ",".join(map(str, range(1, count + 1)))
    space.exp("--queue", "-S", f"x={values}", *more)


def test_stages_of_one_run_share_two_devices(space: Space) -> None:
    project(space, {f"s{i}": {"resources": {"gpu": 1}} for i in range(8)}, "gpu = 2")
    space.repro("-j", "8")
    seen = Seen(space)
    assert len(seen.begun) == 8
    assert seen.most == 2
    assert {seen.devices[name] for name in seen.begun} == {"0", "1"}
    assert all(seen.devices[one] != seen.devices[two] for one, two in seen.pairs)


def test_devices_have_the_names_that_the_settings_give_them(space: Space) -> None:
    stages: dict[str, Any] = {f"s{i}": {"resources": {"gpu": 1}} for i in range(4)}
    stages["both"] = {"resources": {"gpu": 2}}
    stages["none"] = {}
    project(space, stages, 'gpu = ["3", "5"]')
    space.repro("-j", "8")
    seen = Seen(space)
    assert {seen.devices[f"s{i}."] for i in range(4)} == {"3", "5"}
    assert seen.devices["both."] == "3,5"
    assert seen.devices["none."] == "-"
    assert all(
        seen.devices[one] != seen.devices[two]
        for one, two in seen.pairs
        if not {"none."} & {one, two}
    )
    assert not seen.together("both", *(f"s{i}" for i in range(4))) - seen.together(
        *(f"s{i}" for i in range(4))
    )


def test_experiments_of_a_queue_share_two_devices(space: Space) -> None:
    project(space, {"s": {"resources": {"gpu": 1}}}, "gpu = 2", nap=0.3)
    queued(space, 8)
    space.dodo("exp", "run", "--run-all", "--jobs", "8")
    seen = Seen(space)
    assert len(seen.begun) == 8
    assert seen.most == 2
    assert all(seen.devices[one] != seen.devices[two] for one, two in seen.pairs)


def test_memory_is_shared_by_amounts(space: Space) -> None:
    stages = {f"s{i}": {"resources": {"mem": "8G"}} for i in range(5)}
    project(space, stages | {"all": {"resources": {"mem": "16G"}}}, 'mem = "16G"', nap=0.4)
    space.repro("-j", "8")
    seen = Seen(space)
    assert seen.most == 2
    assert not any("all." in pair for pair in seen.pairs)


def test_a_mutex_keeps_stages_apart(space: Space) -> None:
    stages = {f"s{i}": {"mutex": ["db"]} for i in range(4)} | {f"free{i}": {} for i in range(4)}
    project(space, stages, "gpu = 1")
    space.repro("-j", "8")
    seen = Seen(space)
    assert len(seen.begun) == 8
    assert seen.together("s0", "s1", "s2", "s3") == 0
    assert seen.pairs


def test_a_mutex_keeps_two_commands_apart(space: Space) -> None:
    stages = {"a": {"mutex": "db"}, "b": {"mutex": ["db", "other"]}, "c": {}}
    project(space, stages, "gpu = 1", nap=0.2)
    commands = [space.start("exp", "run", "--temp", "-j", "4", "-S", f"x={i}") for i in (1, 2)]
    commands.append(space.start("exp", "run", "-j", "4", "-S", "x=3"))
    for command in commands:
        _, err = command.communicate(timeout=60)
        assert command.returncode == 0, err
    seen = Seen(space)
    assert len(seen.begun) == 9
    assert seen.together("a", "b") == 0


def test_two_commands_share_devices(space: Space) -> None:
    project(space, {f"s{i}": {"resources": {"gpu": 1}} for i in range(3)}, "gpu = 2", nap=0.2)
    commands = [space.start("exp", "run", "--temp", "-j", "4", "-S", f"x={i}") for i in (1, 2)]
    for command in commands:
        _, err = command.communicate(timeout=60)
        assert command.returncode == 0, err
    seen = Seen(space)
    assert len(seen.begun) == 6
    assert seen.most == 2
    assert all(seen.devices[one] != seen.devices[two] for one, two in seen.pairs)


def test_what_a_killed_command_held_is_free_again(space: Space) -> None:
    project(space, {"s": {"resources": {"gpu": 1}, "mutex": "db"}}, "gpu = 1", nap=60)
    first = space.start("exp", "run", "--temp", "-S", "x=1")
    wait_for(lambda: len(Seen(space).begun) == 1)
    kill_tree(first)
    text = space.read("dvc.yaml").replace("sleep 60", "sleep 0.1")
    space.write("dvc.yaml", text)
    begun = time.monotonic()
    space.exp("--temp", "-S", "x=2")
    assert time.monotonic() - begun < 8
    assert len(Seen(space).begun) == 2


def test_what_a_killed_command_held_is_free_when_its_stages_have_ended(space: Space) -> None:
    """A stage that takes a second to end still has the device meanwhile."""
    project(space, {"s": {"resources": {"gpu": 1}}}, "gpu = 1", nap=1.5)
    text = space.read("dvc.yaml").replace('"cmd": "', '"cmd": "trap : TERM; trap \'\' TERM; ')
    space.write("dvc.yaml", text)
    first = space.start("exp", "run", "--temp", "-S", "x=1")
    wait_for(lambda: len(Seen(space).begun) == 1)
    kill_tree(first)
    space.exp("--temp", "-S", "x=2")
    seen = Seen(space)
    assert len(seen.begun) == 2
    assert seen.left == []
    assert seen.most == 1


def test_a_stopped_command_gives_back_what_it_held(space: Space) -> None:
    project(space, {"s": {"resources": {"gpu": 1}}}, "gpu = 1", nap=60)
    first = space.start("exp", "run", "--temp", "-S", "x=1")
    wait_for(lambda: len(Seen(space).begun) == 1)
    second = space.start("exp", "run", "--temp", "-S", "x=2")
    time.sleep(1.5)
    assert len(Seen(space).begun) == 1
    second.terminate()
    _, err = second.communicate(timeout=20)
    assert "waiting for 'gpu' for stage 's', held by stage 's' of " in err
    assert len(Seen(space).begun) == 1
    first.terminate()
    first.communicate(timeout=20)
    text = space.read("dvc.yaml").replace("sleep 60", "sleep 0.1")
    space.write("dvc.yaml", text)
    space.exp("--temp", "-S", "x=3")


def test_a_failed_stage_gives_back_what_it_held(space: Space) -> None:
    project(space, {f"s{i}": {"resources": {"gpu": 1}} for i in range(3)}, "gpu = 1")
    text = space.read("dvc.yaml").replace("touch s1.out", "exit 1").replace("touch s0.out", "false")
    space.write("dvc.yaml", text)
    assert space.repro("-k", "-j", "4", code=1).stages["s2"] == "ran"
    assert Seen(space).most == 1


def test_stages_that_need_two_things_in_any_order_all_end(space: Space) -> None:
    stages: dict[str, Any] = {}
    for i in range(4):
        stages[f"ab{i}"] = {"resources": {"a": 1, "b": 1}}
        stages[f"ba{i}"] = {"resources": {"b": 1, "a": 1}}
    project(space, stages, "a = 1\nb = 1", nap=0)
    for _ in range(20):
        ran = space.repro("-f", "-j", "8")
        assert set(ran.stages.values()) == {"ran"}
    seen = Seen(space)
    assert len(seen.begun) == 160
    assert seen.most == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_queue_of_parallel_runs_has_no_more_commands_at_once_than_jobs(
    space: Space, jobs: int
) -> None:
    project(space, {f"s{i}": {} for i in range(4)}, "gpu = 1")
    queued(space, 3, "-j", "4")
    space.dodo("exp", "run", "--run-all", "--jobs", str(jobs))
    seen = Seen(space)
    assert len(seen.begun) == 12
    assert seen.most == jobs


def test_a_queue_of_parallel_runs_with_needs_ends(space: Space) -> None:
    stages: dict[str, Any] = {
        "a": {"resources": {"aa": 1, "zz": 1}},
        "b": {"resources": {"zz": 1}, "mutex": "db"},
        "c": {"mutex": ["db", "x"], "resources": {"aa": 1}},
        "d": {},
    }
    project(space, stages, "aa = 1\nzz = 1")
    queued(space, 4, "-j", "4")
    space.dodo("exp", "run", "--run-all", "--jobs", "3")
    seen = Seen(space)
    assert len(seen.begun) == 16
    assert seen.most <= 3
    assert seen.together("a", "b") == seen.together("b", "c") == seen.together("a", "c") == 0


def test_each_command_at_once_has_a_slot_of_its_own(space: Space) -> None:
    project(space, {"s": {}, "t": {}}, "gpu = 1", nap=0.3)
    queued(space, 6, "-j", "2")
    space.dodo("exp", "run", "--run-all", "--jobs", "3")
    seen = Seen(space)
    assert len(seen.begun) == 12
    assert set(seen.slots.values()) == {"0", "1", "2"}
    assert seen.pairs
    assert all(seen.slots[one] != seen.slots[two] for one, two in seen.pairs)


def test_nothing_of_a_queues_own_budget_stays(space: Space) -> None:
    project(space, {"s": {}}, "gpu = 1")
    queued(space, 2)
    space.dodo("exp", "run", "--run-all", "--jobs", "2")
    left = [path.name for path in (space.root / ".dodo" / "slots").rglob("*")]
    assert not [name for name in left if name.startswith("jobs-")]


def test_a_stage_is_told_what_it_has_of_each_resource(space: Space) -> None:
    space.write("dodo.toml", "[resources]\nlicence-a = 3\ngpu = 1\n")
    cmd = "env | grep -E '^(DODO_RESOURCE|CUDA|DODO_SLOT)' | sort > out"
    needs = {"resources": {"licence-a": 2, "gpu": 1}, "mutex": "db"}
    stage = {"cmd": cmd, "outs": ["out"], "meta": {"dodo": needs}}
    space.write("dvc.yaml", json.dumps({"stages": {"s": stage}}))
    space.repro()
    assert space.read("out").splitlines() == [
        "CUDA_VISIBLE_DEVICES=0",
        "DODO_RESOURCE_GPU=0",
        "DODO_RESOURCE_LICENCE_A=0,1",
        "DODO_SLOT=0",
    ]


def test_needs_are_no_part_of_what_a_stage_is(space: Space) -> None:
    project(space, {"s": {"resources": {"gpu": 1}}}, "gpu = 2")
    space.repro()
    text = space.read("dvc.yaml").replace('"gpu": 1', '"gpu": 2')
    space.write("dvc.yaml", text)
    assert space.repro().stages == {"s": "unchanged"}
