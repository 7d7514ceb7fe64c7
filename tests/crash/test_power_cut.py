"""Power cuts at random moments of commands, on real file systems.

A project lives on a disk of its own. Commands change it one after another while copies of the disk
are taken (tests/crash/power.py). Then each copy is mounted, and

- the next commands work;
- every experiment that was reported before the cut is there, with its params, metrics and files;
- what was restored or made by a command that had ended is in the workspace;
- nothing is called up to date, or recorded, that is not what its inputs make.

`DODO_POWER_CUTS` says how many copies of each file system the full trial takes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.crash import power
from tests.space import OWN, wait_for

COPIES = 6
"""How many are taken of one disk."""

TRAIN = """\
import os, sys
value = int(sys.argv[1])
with open("code.py") as file:
    value += len(file.read())
# Its size is set first, so that it can hold zeros and have the right size.
fd = os.open("model", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.ftruncate(fd, 40000)
os.pwrite(fd, (b"%d " % value * 40000)[:40000], 0)
os.close(fd)
os.makedirs("parts", exist_ok=True)
for i in range(int(sys.argv[2])):
    with open(f"parts/{i}", "w") as file:
        file.write(f"{value} {i}" * 10)
with open("m.json", "w") as file:
    file.write('{"x": %d}' % value)
"""

STEPS = """\
import sys
sys.path.insert(0, sys.argv[1])
from dodo_exp.checkpoint import make_checkpoint
try:
    with open("weights") as file:
        done = int(file.read().split()[0])
except FileNotFoundError:
    done = 0
for step in range(done + 1, done + 3):
    with open("weights", "w") as file:
        file.write(f"{step} " * 1000)
    make_checkpoint()
"""


def pipeline() -> str:
    """Two stages; what they make is a function of `code.py`, `b` and `t`."""
    python = f"{sys.executable} -S -E"
    return f"""\
stages:
  train:
    cmd: {python} t.py ${{b}} ${{n}}
    params: [b, n]
    deps: [t.py, code.py]
    outs: [model, parts]
    metrics: [m.json]
  eval:
    cmd: head -c 40 model > head.txt; echo ${{t}} >> head.txt
    params: [t]
    deps: [model]
    outs: [head.txt]
"""


def checkpoints() -> str:
    """A pipeline of its own, with a stage that keeps checkpoints."""
    root = Path(power.__file__).parents[2]
    return f"""\
stages:
  steps:
    cmd: {sys.executable} -S -E s.py {root}
    deps: [s.py]
    outs: [weights: {{checkpoint: true}}]
"""


def expected(root: Path) -> dict[str, bytes]:
    """What the stages make of the inputs that are there."""
    params = dict(line.split(": ") for line in (root / "params.yaml").read_text().splitlines())
    value = int(params["b"]) + len((root / "code.py").read_text())
    model = (b"%d " % value * 40000)[:40000]
    made = {f"parts/{i}": f"{value} {i}".encode() * 10 for i in range(int(params["n"]))}
    made |= {"model": model, "m.json": b'{"x": %d}' % value}
    return {**made, "head.txt": model[:40] + params["t"].encode() + b"\n"}


def tree(root: Path) -> dict[str, bytes]:
    """Every file of the project but the store's."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".dodo" not in path.relative_to(root).parts
    }


class Known:
    """What holds from one moment on until the next command changes it."""

    def __init__(self, names: dict[str, int], files: dict[str, bytes] | None, words: str) -> None:
        """*names* are experiments that must be there, with their metric; *files* the workspace."""
        self.names = names
        self.files = files
        self.words = words


class Session:
    """Commands on one disk, and what is known while they run."""

    def __init__(self, root: Path, env: dict[str, str], dice: random.Random) -> None:
        self.root = root
        self.env = env
        self.dice = dice
        self.value = 1
        self.log: list[str] = []
        self.known = Known({}, None, "begin")
        self.metrics: dict[str, int] = {}

    def begin(self) -> None:
        """Write the project and keep two experiments of it."""
        self.root.mkdir()
        (self.root / "ck").mkdir()
        texts = {
            "dvc.yaml": pipeline(),
            "t.py": TRAIN,
            "code.py": "print(1)\n",
            "params.yaml": "b: 1\nt: 1\nn: 3\n",
            "ck/dvc.yaml": checkpoints(),
            "ck/s.py": STEPS,
        }
        for path, text in texts.items():
            (self.root / path).write_text(text)
        self.do("exp", "run", "-n", "first", "dvc.yaml")
        self.do("exp", "run", "-n", "second", "-S", "b=2", "dvc.yaml")

    def do(self, *args: str, loses: set[str] | None = None) -> None:
        """Run a command that must end well; *loses* names what it may remove, None: nothing."""
        words = " ".join(args)
        names = {n: x for n, x in self.known.names.items() if n not in (loses or ())}
        self.known = Known(names, None, f"in {words}")
        self.log.append(words)
        ran = subprocess.run(
            [sys.executable, "-m", "dodo_exp", *args],
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"{words}\n{ran.stdout}{ran.stderr}\n{self.log}"
        self.note(f"after {words}")

    def note(self, words: str) -> None:
        """What is there now must be there after a cut."""
        files = tree(self.root)
        there = set(os.listdir(self.root / ".dodo/exps"))
        for name in there - self.metrics.keys():
            self.metrics[name] = -1  # only that it is there
        names = {name: self.metrics[name] for name in there if not name.startswith(".")}
        self.known = Known(names, files, words)

    def run_one(self) -> None:
        """One command, whichever it is."""
        names = [name for name in self.known.names if self.metrics.get(name, -1) >= 0]
        name, some = f"e{self.value}", self.dice.choice([*names, "first"])
        self.value += 1
        setting = ("-S", f"b={self.value * 7}", "-S", f"n={self.dice.choice([2, 3, 50])}")
        match self.dice.randrange(14):
            case 0 | 1 | 2:
                self.do("exp", "run", "-n", name, *setting, "dvc.yaml")
                self.metrics[name] = json.loads((self.root / "m.json").read_text())["x"]
                self.note(self.known.words)
            case 3:
                (self.root / "code.py").write_text("#" * self.dice.randrange(1, 50) + "\n")
                self.do("status")
                self.do("exp", "run", "dvc.yaml")
            case 4 | 5:
                if some in self.known.names:
                    self.do("exp", "apply", some, *self.dice.choice([(), ("--exact",)]))
            case 6:
                if self.dice.random() < 0.5:
                    self.do("snapshot")
                self.do("undo", loses=set(self.known.names))
            case 7:
                for path in ("model", "head.txt"):
                    (self.root / path).unlink(missing_ok=True)
                shutil.rmtree(self.root / "parts", ignore_errors=True)
                self.do("checkout")
            case 8 | 9:
                for i in range(2):
                    values = ("-S", f"b={self.value * 7 + i}", "-n", f"{name}-{i}")
                    self.do("exp", "run", "--queue", *values, "dvc.yaml")
                self.do("exp", "run", "--run-all", "-j", "2")
            case 10:
                self.do("exp", "run", "ck/dvc.yaml", "-n", name, *setting)
            case 11:
                self.do("gc", *self.dice.choice([(), ("--grace", "0s")]))
            case 12:
                self.do("exp", "export", "-f", "../pack")
            case 13:
                if len(names) > 3:
                    self.do("exp", "remove", some, loses={some})
                    self.do("repro", "dvc.yaml")


class Copy:
    """A copy of the disk, and what must be on it."""

    def __init__(self, path: Path, before: Known, after: Known) -> None:
        self.path = path
        self.names = {n: x for n, x in before.names.items() if n in after.names}
        self.files = before.files if before is after else None
        self.words = f"{before.words} .. {after.words}"


def session(disk: power.Disk, base: Path, env: dict[str, str], dice: random.Random) -> list[Copy]:
    """Run commands, and take copies at random moments."""
    copies: list[Copy] = []
    with disk.mounted() as folder:
        running = Session(folder / "p", env, dice)
        running.begin()
        over, hold, idle = threading.Event(), threading.Event(), threading.Event()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                while not over.is_set():
                    running.run_one()
                    if hold.is_set():
                        idle.set()
                        wait_for(lambda: not hold.is_set(), 120)
                        idle.clear()
            except BaseException as error:
                failed.append(error)
                idle.set()

        worker = threading.Thread(target=work)
        worker.start()
        moments = random.Random(dice.random())
        for number in range(COPIES):
            if moments.random() < 0.4:
                hold.set()  # a command has ended, and the next has not begun
                idle.wait(120)
            time.sleep(moments.uniform(0.0, 1.2))
            before, target = running.known, base / f"copy-{number}.img"
            disk.copy(target)
            copies.append(Copy(target, before, running.known))
            hold.clear()
        over.set()
        worker.join()
    if failed:
        raise failed[0]
    return copies


class Checker:
    """Looks at a copy as the user would who switches the machine on again."""

    def __init__(self, root: Path, env: dict[str, str], boot: Path) -> None:
        self.root, self.env, self.boot = root, env, boot
        self.faults: list[str] = []

    def do(self, *args: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command that must work; its standard output."""
        command = [sys.executable, "-m", "dodo_exp", *args]
        ran = subprocess.run(
            power.after_a_boot(self.boot, *command),
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
        )
        if ran.returncode not in codes or "Traceback" in ran.stderr:
            self.faults.append(f"{' '.join(args)}: {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    def check(self, copy: Copy) -> None:
        """All that must hold."""
        if copy.files is not None:
            self.same_files(copy.files, "the workspace")
        stale = json.loads(self.do("status", "--json") or "{}")
        if "train" not in stale and "eval" not in stale:
            self.same_made("up to date")
        shown = {row["name"]: row for row in self.experiments()}
        for name, metric in copy.names.items():
            if name not in shown:
                self.faults.append(f"experiment {name!r} is lost; there are {sorted(shown)}")
            elif metric >= 0 and self.metric(shown[name]) != metric:
                self.faults.append(f"experiment {name!r} has {shown[name]}, not x={metric}")
        self.do("exp", "run", "-S", "++t=9", "-n", "after", "dvc.yaml")
        self.same_made("exp run")
        known = [name for name, metric in copy.names.items() if metric >= 0]
        if known:
            self.do("exp", "apply", known[-1])
            self.same_made(f"exp apply {known[-1]}")
            self.do("undo")
            self.same_made("undo")
        self.do("exp", "run", "--run-all")
        self.do("gc", "--grace", "0s")
        self.do("store", "check", "--full")

    def experiments(self) -> list[dict[str, Any]]:
        table = json.loads(self.do("exp", "show", "--json") or "[]")
        groups = [group for row in table for group in row["experiments"] or ()]
        return [{**group["revs"][0], "name": group["revs"][0]["name"]} for group in groups]

    def metric(self, row: dict[str, Any]) -> Any:
        metrics = row["data"]["metrics"] if row["data"] else {}
        return metrics.get("m.json", {}).get("data", {}).get("x")

    def same_files(self, wanted: dict[str, bytes], what: str) -> None:
        here = tree(self.root)
        for path in sorted(wanted.keys() | here.keys()):
            if wanted.get(path) != here.get(path):
                old, new = (str(each.get(path))[:60] for each in (wanted, here))
                self.faults.append(f"{what}: {path} is {new}, not {old}")

    def same_made(self, what: str) -> None:
        """The outputs are what the inputs make."""
        try:
            made = expected(self.root)
        except (OSError, KeyError, ValueError) as error:
            self.faults.append(f"{what}: the inputs cannot be read: {error!r}")
            return
        for path, data in made.items():
            full = self.root / path
            here = full.read_bytes() if full.is_file() else None
            if here != data:
                self.faults.append(f"{what}: {path} is {str(here)[:60]}, not {str(data)[:60]}")


def trial(base: Path, kind: str, count: int) -> None:
    """Take so many copies of disks of one kind and look at each."""
    power.check_possible(kind)
    seed = int(os.environ.get("DODO_SEED", random.randrange(1 << 30)))
    env = {k: v for k, v in os.environ.items() if not k.startswith(OWN)}
    (base / "home").mkdir()
    env |= {"HOME": str(base / "home"), "NO_COLOR": "1", "SHELL": "/bin/sh"}
    boot = base / "boot_id"
    boot.write_text("11111111-2222-3333-4444-555555555555\n")
    looked = 0
    faults: list[str] = []
    with power.outer(base) as folder:
        while looked < count:
            disk = power.Disk(folder, kind)
            for copy in session(disk, folder, env, random.Random(seed + looked)):
                with disk.mounted(copy.path) as mounted:
                    checker = Checker(mounted / "p", env, boot)
                    checker.check(copy)
                copy.path.unlink()
                looked += 1
                print(f"{kind} {looked}: {copy.words}", flush=True)
                if checker.faults:
                    text = "\n  ".join(checker.faults)
                    faults.append(f"{kind}, copy {looked}, {copy.words}:\n  {text}")
                    print(faults[-1], flush=True)
    print(f"{kind}: {looked} power cuts, {len(faults)} with faults (DODO_SEED={seed})")
    assert faults == [], f"{len(faults)} of {looked}\n" + "\n".join(faults)


@pytest.mark.soak
@pytest.mark.parametrize("kind", power.MAKE)
def test_power_cut_sample(tmp_path: Path, kind: str) -> None:
    trial(tmp_path, kind, COPIES)


@pytest.mark.soak
@pytest.mark.parametrize("kind", power.MAKE)
def test_power_cut_many(tmp_path: Path, kind: str) -> None:
    trial(tmp_path, kind, int(os.environ.get("DODO_POWER_CUTS", "70")))
