"""What we use of doit, pinned: a change in it must be noticed here and not by a user."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from dodo_exp.engine import doit_tasks
from dodo_exp.pipeline.graph import Graph, Selection
from dodo_exp.pipeline.model import OUT, Out, Stage


def stage(name: str, *deps: str) -> Stage:
    """A stage that reads the outputs of others, which are named like them."""
    out = Out(name, OUT, True, False, False, {})
    return Stage(name, "dvc.yaml", 1, ("true",), ".", deps, (), (out,), False, False, "", None)


def select(*stages: Stage) -> Selection:
    """All of them, in order."""
    return Graph(stages).select([each.name for each in stages])


class Log:
    """Records what doit asks for."""

    def __init__(self, fails: tuple[str, ...] = (), current: tuple[str, ...] = ()) -> None:
        self.asked: list[str] = []
        self.done: list[str] = []
        self.threads: set[str] = set()
        self._fails = fails
        self._current = current

    def up_to_date(self, each: Stage) -> bool:
        self.asked.append(each.name)
        self.threads.add(threading.current_thread().name)
        return each.name in self._current

    def perform(self, each: Stage) -> bool:
        self.done.append(each.name)
        return each.name not in self._fails

    def run(self, selection: Selection, *, jobs: int = 1, keep_going: bool = False) -> None:
        made = doit_tasks.tasks(selection, self.up_to_date, self.perform)
        doit_tasks.run(made, jobs=jobs, keep_going=keep_going)


CHAIN = (stage("a"), stage("b", "a"), stage("c", "b"))


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_each_stage_is_asked_once_and_done_once_after_what_it_waits_for(jobs: int) -> None:
    log = Log()
    log.run(select(*CHAIN), jobs=jobs)
    assert log.asked == log.done == ["a", "b", "c"]


def test_questions_are_asked_in_the_main_thread() -> None:
    log = Log()
    log.run(select(*CHAIN), jobs=2)
    assert log.threads == {threading.main_thread().name}


def test_what_is_up_to_date_is_not_done_and_what_follows_is_asked() -> None:
    log = Log(current=("a",))
    log.run(select(*CHAIN))
    assert (log.asked, log.done) == (["a", "b", "c"], ["b", "c"])


def test_after_a_failure_nothing_is_asked() -> None:
    log = Log(fails=("a",))
    log.run(select(*CHAIN, stage("d")))
    assert (log.asked, log.done) == (["a"], ["a"])


def test_keep_going_goes_on_beside_the_failure() -> None:
    log = Log(fails=("a",))
    log.run(select(*CHAIN, stage("d")), keep_going=True)
    assert log.done == ["a", "d"]


@pytest.mark.parametrize("name", ["a=b", "x*", "50%", "a:b"])
def test_names_that_doit_reads_in_its_own_way_are_carried_through(name: str) -> None:
    log = Log()
    log.run(select(stage(name), stage("after", name)))
    assert log.done == [name, "after"]


def test_what_an_action_raises_is_a_bug_and_comes_up() -> None:
    def broken(each: Stage) -> bool:
        raise ZeroDivisionError(each.name)

    made = doit_tasks.tasks(select(stage("a")), lambda each: False, broken)
    with pytest.raises(ZeroDivisionError):
        doit_tasks.run(made, jobs=1, keep_going=False)


def test_a_signal_that_wakes_nobody_is_noticed() -> None:
    """As one that comes just before the main thread blocks: here it comes in another thread."""
    started = time.monotonic()

    def signalled(each: Stage) -> bool:
        time.sleep(0.3)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        time.sleep(5)
        return True

    made = doit_tasks.tasks(select(stage("a")), lambda each: False, signalled)
    with pytest.raises(KeyboardInterrupt):
        doit_tasks.run(made, jobs=1, keep_going=False)
    assert time.monotonic() - started < 4


def test_a_chain_of_thousands_is_no_problem() -> None:
    many = [stage("s0"), *(stage(f"s{i}", f"s{i - 1}") for i in range(1, 3000))]
    log = Log()
    log.run(select(*many), jobs=2)
    assert len(log.done) == 3000
