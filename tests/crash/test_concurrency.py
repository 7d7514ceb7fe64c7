"""Many commands at once: what one reports is true, and stays true while the others work."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dodo_exp.exps import queue
from dodo_exp.exps.record import load
from dodo_store.store import Store
from tests.space import Space

CLIENTS = 12
HANGS = 120
"""Seconds after which a command hangs."""

PIPELINE = """\
stages:
  one:
    cmd: echo "one ${lr}" > one.txt
    params: [lr]
    outs: [one.txt]
  two:
    cmd: mkdir two && cat one.txt code.txt > two/a && echo "two" > two/b
    deps: [one.txt, code.txt]
    outs: [two]
  score:
    cmd: >-
      echo "{\\"score\\": $(wc -l < two/a)}" > m.json
    deps: [two]
    metrics: [m.json: {cache: false}]
"""

TRAINING = """\
stages:
  train:
    cmd: for i in 1 2 3; do echo "${rate}.$i" >> model; dodo checkpoint -q; done
    params: [rate]
    outs: [model: {checkpoint: true}]
"""

FILES: dict[str, Callable[[int], bytes]] = {
    "one.txt": lambda value: b"one %d\n" % value,
    "two/a": lambda value: b"one %d\ncode\n" % value,
    "two/b": lambda value: b"two\n",
}
"""What an experiment of the pipeline has, given its value of `lr`."""

STEPS: dict[str, Callable[[int], bytes]] = {
    "train/model": lambda value: b"%d.1\n%d.2\n%d.3\n" % (value, value, value),
}
"""What one of the training has, given its value of `rate`."""

Files = dict[str, Callable[[int], bytes]]


class Made(NamedTuple):
    """An experiment that a command has reported: by its value its outputs are known."""

    value: int
    files: Files


class Call(NamedTuple):
    """A command that has ended."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str
    started: float
    ended: float

    def __str__(self) -> str:
        words = " ".join(self.args)
        return f"dodo {words}\n  exit {self.code}\n  {self.out[-400:]}\n  {self.err[-1500:]}"


class Trial:
    """A project in which clients run commands until the time is up, and what must hold of it."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self._seed = seed
        self._guard = threading.Lock()
        self._serial = 0
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.must: dict[str, Made] = {}
        """Experiments that have been reported, and that nobody has removed."""
        self.queued: dict[str, Made] = {}
        """Experiments that have been queued: once the queue has run they must be there."""
        self.removals: list[Call] = []
        """Removals of experiments, each of which is an undo step."""
        self._gone: set[str] = set()
        """Names that an undo has taken away again; nothing is required of them any more."""
        self._steps: dict[int, tuple[float, str]] = {}
        """Undo steps that have been listed, by number."""

    # -- what is known -------------------------------------------------------------------------

    def next_value(self) -> int:
        """A value that no other experiment has."""
        with self._guard:
            self._serial += 1
            return self._serial

    def record(self, name: str, made: Made) -> None:
        """A command has reported this experiment."""
        with self._guard:
            if name not in self._gone:
                self.must[name] = made

    def forget(self, *names: str) -> None:
        """Nothing is required of these names from here on."""
        with self._guard:
            for name in names:
                self._gone.add(name)
                self.must.pop(name, None)
                self.queued.pop(name, None)

    def known(self) -> dict[str, Made]:
        """What must be there at this moment."""
        with self._guard:
            return dict(self.must)

    def violated(self, what: str) -> None:
        """Note that something does not hold."""
        with self._guard:
            self.violations.append(what)

    def note_steps(self, rows: list[dict[str, Any]]) -> None:
        """A list of undo steps: no number may stand for two of them."""
        with self._guard:
            for row in rows:
                found = (row["at"], row["command"])
                if self._steps.setdefault(row["step"], found) != found:
                    text = f"undo step {row['step']} is {found}, was {self._steps[row['step']]}"
                    self.violations.append(text)

    def check_steps(self, rows: list[dict[str, Any]]) -> None:
        """No undo step is lost that was made after the last collection."""
        last = max((call.ended for call in self.calls if call.args[0] == "gc"), default=0.0)
        there = {row["step"]: row["command"] for row in rows}
        for number, (at, command) in self._steps.items():
            if at > last and there.get(number) != command:
                self.violated(f"undo step {number} is lost: {command!r}")
        for call in self.removals:
            if call.started > last and " ".join(call.args) not in there.values():
                self.violated(f"no undo step for {call}")

    # -- commands ------------------------------------------------------------------------------

    def call(self, *args: str, codes: tuple[int, ...] = (0,), cwd: str = ".") -> Call:
        """Run `dodo ARGS`, which must come to its end with one of *codes*."""
        started = time.time()
        process = self.space.start(*args, cwd=cwd)
        try:
            out, err = process.communicate(timeout=HANGS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.violated(f"dodo {' '.join(args)} hangs\n  {err[-1500:]}")
        ended = Call(args, process.returncode, out, err, started, time.time())
        with self._guard:
            self.calls.append(ended)
        if ended.code not in codes or "Traceback" in err or "Exception ignored" in err:
            self.violated(str(ended))
        return ended

    def run(self, seconds: float) -> None:
        """Let all clients work for so long."""
        until = time.monotonic() + seconds
        clients = [Client(self, number, self._seed + number) for number in range(CLIENTS)]
        threads = [threading.Thread(target=client.work, args=(until,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 2 * HANGS)
            assert not thread.is_alive(), "a client hangs"

    # -- the end -------------------------------------------------------------------------------

    def check(self) -> None:
        """What must hold when all is over."""
        self.call("exp", "run", "--run-all", "-q")
        rows = self.space.dodo("queue", "status", "--json").json["experiments"]
        states = {row["name"]: (row["state"], row["reason"]) for row in rows}
        for name, made in list(self.queued.items()):
            if states.get(name, (queue.SUCCESS, ""))[0] != queue.SUCCESS:
                self.violated(f"{name!r} was queued and is {states[name]}")
            else:
                self.record(name, made)
        rows = self.space.dodo("undo", "--list", "--json").json
        self.note_steps(rows)
        self.check_steps(rows)
        must = self.known()
        for name, made in must.items():
            self._check_experiment(name, made)
        for name in random.sample(sorted(must), min(10, len(must))):
            self._check_applied(name, must[name])
        for _ in range(10):
            self.call("undo", codes=(0, 2))
        self.call("store", "check", "--full")
        assert not self.violations, self._summary()
        self._check_nothing_left()

    def _check_experiment(self, name: str, made: Made) -> None:
        """Every output is what it must be, read from the store."""
        store = Store(str(self.space.root / ".dodo"))
        oid = store.experiments.get(name) or store.snapshots.get(name)
        if oid is None:
            self.violated(f"{name!r} was reported and is not there")
            return
        result = load(store, oid).result
        for path, content in made.files.items():
            node = store.find(result, path)
            found = store.objects.read(node.oid) if node is not None else None
            if found != content(made.value):
                self.violated(f"{name!r}: {path} is {found!r}, not {content(made.value)!r}")

    def _check_applied(self, name: str, made: Made) -> None:
        self.call("exp", "apply", name)
        for path, content in made.files.items():
            full = self.space.root / path
            found = full.read_bytes() if full.is_file() else None
            if found != content(made.value):
                self.violated(f"{name!r} applied: {path} is {found!r}")

    def _check_nothing_left(self) -> None:
        state = self.space.root / ".dodo"
        for folder in ("tmp", "journal", "queue/running", "queue/todo"):
            left = os.listdir(state / folder) if (state / folder).is_dir() else []
            assert left == [], (folder, left)
        until = time.monotonic() + 10
        while left := processes(self.space):
            assert time.monotonic() < until, left
            time.sleep(0.1)

    def _summary(self) -> str:
        counts = Counter(" ".join(call.args[:2]) for call in self.calls)
        head = f"seed {self._seed}, {len(self.calls)} commands, {len(self.violations)} violations"
        kinds: dict[str, list[str]] = {}
        for each in self.violations:
            kinds.setdefault(" ".join(each.split()[:2]), []).append(each)
        return "\n".join([head, str(counts), *(v for kind in kinds.values() for v in kind[:4])])


def processes(space: Space) -> list[str]:
    """Command lines of processes that a trial has started and that still run."""
    wanted = f"HOME={space.env['HOME']}".encode()
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                found.append(f"{pid}: {words.replace(bytes(1), b' ').decode()}")
        except OSError:
            continue
    return found


class Client:
    """Runs one command after the other. Only it removes and renames what it has made."""

    def __init__(self, trial: Trial, number: int, seed: int) -> None:
        self._trial = trial
        self._random = random.Random(seed)
        self._number = number
        self._count = 0

    def work(self, until: float) -> None:
        """Run commands until the time is up."""
        verbs, weights = zip(*VERBS.items(), strict=True)
        while time.monotonic() < until:
            (verb,) = self._random.choices(verbs, weights)
            try:
                verb(self)
            except Exception as error:
                self._trial.violated(f"{verb.__name__}: {error!r}")

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._number}-{self._count}"

    def _mine(self) -> str | None:
        """One of the experiments that this client has made."""
        mine = [name for name in self._trial.known() if name.startswith(f"e{self._number}-")]
        return self._random.choice(mine) if mine else None

    def _any(self) -> str | None:
        """An experiment of anybody."""
        known = sorted(self._trial.known())
        return self._random.choice(known) if known else None

    def _made(self) -> tuple[Made, tuple[str, ...]]:
        """An experiment to make, and how to ask for it."""
        value = self._trial.next_value()
        if self._random.random() < 0.25:
            wanted = ("train/dvc.yaml", "-S", f"train/params.yaml:rate={value}")
            return Made(value, STEPS), wanted
        return Made(value, FILES), ("-S", f"lr={value}")

    # -- verbs ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Run in the workspace."""
        name, value = self._name("e"), self._trial.next_value()
        call = self._trial.call("exp", "run", "-q", "-n", name, "-S", f"lr={value}")
        if call.code == 0:
            self._trial.record(name, Made(value, FILES))

    def run_temp(self) -> None:
        """Run in a folder of its own."""
        name, (made, wanted) = self._name("e"), self._made()
        call = self._trial.call("exp", "run", "-q", "--temp", "--reset", "-n", name, *wanted)
        if call.code == 0:
            self._trial.record(name, made)

    def queue(self) -> None:
        """Queue one or two."""
        name, (made, wanted) = self._name("e"), self._made()
        call = self._trial.call("exp", "run", "-q", "--queue", "-n", name, *wanted)
        if call.code == 0:
            self._trial.queued[name] = made

    def run_all(self) -> None:
        """Run what is queued."""
        self._trial.call("exp", "run", "--run-all", "-q", "-j", "2")

    def worker(self) -> None:
        """The same, as a worker."""
        self._trial.call("queue", "worker", "-q")

    def apply(self) -> None:
        """Apply an experiment of anybody."""
        name = self._any()
        if name is not None:
            call = self._trial.call("exp", "apply", name, codes=(0, 2))
            if call.code != 0 and name in self._trial.known():
                self._trial.violated(str(call))

    def undo(self) -> None:
        """Undo what was done last, whoever did it."""
        call = self._trial.call("undo", "--json", codes=(0, 2))
        if call.code == 0:
            import json

            refs = json.loads(call.out)["refs"]
            self._trial.forget(*(name for _, name, how in refs if how == "gone"))

    def undo_list(self) -> None:
        """List undo steps."""
        import json

        call = self._trial.call("undo", "--list", "--json")
        if call.code == 0:
            self._trial.note_steps(json.loads(call.out))

    def tag(self) -> None:
        """Tag several experiments."""
        names = {self._any() for _ in range(4)} - {None}
        if names:
            self._trial.call("exp", "tag", f"t{self._number}", *map(str, names), codes=(0, 2))

    def note(self) -> None:
        """Write a note."""
        if (name := self._any()) is not None:
            self._trial.call("exp", "note", name, self._name("note"), codes=(0, 2))

    def rename(self) -> None:
        """Rename one's own."""
        old, new = self._mine(), self._name("e")
        if old is None:
            return
        made = self._trial.known().get(old)
        self._trial.forget(old)
        call = self._trial.call("exp", "rename", old, new, codes=(0, 2))
        if call.code == 0 and made is not None:
            self._trial.record(new, made)

    def branch(self) -> None:
        """Keep an experiment as a snapshot."""
        name, new = self._any(), self._name("b")
        made = self._trial.known().get(name) if name is not None else None
        if name is None or made is None:
            return
        call = self._trial.call("exp", "branch", name, new, codes=(0, 2))
        if call.code == 0:
            self._trial.record(new, made)

    def remove(self) -> None:
        """Remove one's own."""
        if (name := self._mine()) is not None:
            self._trial.forget(name)
            call = self._trial.call("exp", "remove", name, codes=(0, 2))
            if call.code == 0:
                self._trial.removals.append(call)

    def remove_step(self) -> None:
        """Remove a step of a training."""
        known = [name for name, made in self._trial.known().items() if made.files is STEPS]
        if known:
            step = f"{self._random.choice(known)}@{self._random.randint(1, 2)}"
            self._trial.call("exp", "remove", step, codes=(0, 2))

    def gc(self) -> None:
        """Collect all that can be."""
        self._trial.call("gc", "--grace", "0")

    def gc_steps(self) -> None:
        """Remove all steps but two."""
        self._trial.call("gc", "--keep-steps", "2", "--grace", "0")

    def export(self) -> None:
        """Export one, or all."""
        path = f"../out{self._number}.pack"
        name = self._any()
        names = [name] if name is not None and self._random.random() < 0.7 else []
        self._trial.call("exp", "export", "-f", path, *names, codes=(0, 2))

    def import_(self) -> None:
        """Import what is not there, or is there already."""
        self._trial.call("exp", "import", "-f", "../in.pack")

    def remove_imported(self) -> None:
        """Remove what anybody has imported."""
        self._trial.call("exp", "remove", self._random.choice(IMPORTED), codes=(0, 2))

    def snapshot(self) -> None:
        """Keep the workspace as it is."""
        name = self._name("s")
        if self._trial.call("snapshot", "-n", name).code == 0:
            self._trial.record(name, Made(0, {}))

    def checkout(self) -> None:
        """Check outputs out."""
        self._trial.call("checkout")

    def store_check(self) -> None:
        """Ask whether the store is sound."""
        self._trial.call("store", "check")

    def show(self) -> None:
        """Everything that must be there is shown."""
        before = self._trial.known()
        call = self._trial.call("exp", "show", "--json")
        after = self._trial.known()
        lost = [name for name in before if name in after and f'"{name}"' not in call.out]
        if lost:
            self._trial.violated(f"not shown: {lost}\n{call.err}")

    def cat(self) -> None:
        """One output of an experiment is what it must be."""
        before = self._trial.known()
        name = self._any()
        if name is None or name not in before or not before[name].files:
            return
        made = before[name]
        path, content = self._random.choice(sorted(made.files.items()))
        call = self._trial.call("store", "cat", f"{name}:{path}", codes=(0, 2))
        if name in self._trial.known() and call.out.encode() != content(made.value):
            self._trial.violated(f"{call}\n  is not {content(made.value)!r}")

    def diff(self) -> None:
        """Compare two."""
        names = (self._any(), self._any())
        if None not in names:
            self._trial.call("exp", "diff", *map(str, names), codes=(0, 2))

    def status(self) -> None:
        """Ask which stages are out of date."""
        self._trial.call(*self._random.choice((["status"], ["queue", "status"], ["exp", "list"])))


IMPORTED = ("imp-1", "imp-2", "imp-3")

VERBS: dict[Callable[[Client], None], int] = {
    Client.run: 10,
    Client.run_temp: 6,
    Client.queue: 8,
    Client.run_all: 3,
    Client.worker: 2,
    Client.apply: 6,
    Client.undo: 5,
    Client.undo_list: 3,
    Client.tag: 5,
    Client.note: 4,
    Client.rename: 4,
    Client.branch: 3,
    Client.remove: 4,
    Client.remove_step: 2,
    Client.gc: 5,
    Client.gc_steps: 1,
    Client.export: 3,
    Client.import_: 3,
    Client.remove_imported: 2,
    Client.snapshot: 3,
    Client.checkout: 2,
    Client.store_check: 3,
    Client.show: 4,
    Client.cat: 4,
    Client.diff: 2,
    Client.status: 4,
}
"""Verbs, and how often each is chosen."""


def prepared(space: Space, seed: int) -> Trial:
    """A project for a trial, and a pack to import."""
    space.write("dvc.yaml", PIPELINE)
    space.write("params.yaml", "lr: 0\n")
    space.write("code.txt", "code\n")
    space.write("train/dvc.yaml", TRAINING)
    space.write("train/params.yaml", "rate: 0\n")
    for name in IMPORTED:
        space.dodo("exp", "run", "-q", "-n", name, "-S", f"lr={1000000 + int(name[-1])}")
    space.dodo("exp", "export", "../in.pack", *IMPORTED)
    space.dodo("exp", "remove", *IMPORTED)
    space.dodo("gc", "--grace", "0")
    return Trial(space, seed)


def try_for(space: Space, seconds: float) -> None:
    """A trial of so many seconds."""
    seed = random.randrange(1 << 30)
    trial = prepared(space, seed)
    trial.run(seconds)
    trial.check()
    print(f"seed {seed}: {len(trial.calls)} commands")


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_many_commands_at_once_keep_what_they_report_sample(space: Space) -> None:
    try_for(space, 20)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_commands_at_once_keep_what_they_report(space: Space) -> None:
    """SOAK_MINUTES says how long, 5 without it."""
    try_for(space, 60 * float(os.environ.get("SOAK_MINUTES", "5")))
