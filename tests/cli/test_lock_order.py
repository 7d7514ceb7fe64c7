"""Locks are taken in the order that docs/design/store.md gives, by every command that writes."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from tests.space import Space, wait_for

TRACER = '''\
"""Notes each kernel lock that a process takes and releases."""
import fcntl, os, threading

flock, close = fcntl.flock, os.close
log = os.open(os.environ["LOCK_TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
held = {}

def note(sign, fd):
    path = held.get((os.getpid(), fd))
    if path is not None:
        os.write(log, f"{os.getpid()} {threading.get_ident()} {sign} {path}\\n".encode())

def traced_flock(fd, operation):
    flock(fd, operation)
    number = fd if isinstance(fd, int) else fd.fileno()
    if operation & fcntl.LOCK_UN:
        note("-", number)
    else:
        held[os.getpid(), number] = os.readlink(f"/proc/self/fd/{number}")
        note("+", number)

def traced_close(fd):
    note("-", fd)
    held.pop((os.getpid(), fd), None)
    close(fd)

fcntl.flock, os.close = traced_flock, traced_close
'''

PIPELINE = """\
stages:
  prepare: {cmd: cat raw.txt > data, deps: [raw.txt], outs: [data]}
  train:
    cmd: for i in 1 2; do cat params.yaml data > model; echo $i >> model; dodo checkpoint; done
    deps: [data]
    params: [lr]
    outs: [model: {checkpoint: true}]
  side:
    cmd: cat params.yaml > side
    params: [lr]
    outs: [side]
    meta: {dodo: {resources: {cpu: 1}}}
"""

COMMANDS = """\
exp run -q -n one
exp run -q -n two -S lr=2
exp run -q --queue -n three -S lr=3
exp run -q --queue -n four -S lr=4
exp run -q --run-all -j 2
exp run -q --temp -n five -S lr=5
exp tag t one two
exp note one text
exp rename one first
exp branch first
exp remove two@1
exp apply first
undo
checkout
commit
snapshot -n s1
exp save -n saved
exp export ../pack first
exp remove first
exp import ../pack
exp run -q --queue -n six -S lr=6
queue remove six
exp run -q --queue -n seven -S lr=7
queue start
gc --keep-steps 1 --grace 0
store check --repair
gc --keep-last 2 --grace 0
repro -q -f
freeze side
unfreeze side
add raw.txt
config run.grace 5s
"""

# No `exp run -j`: threads share the commit lock, and a trace does not show which of them is in it.

DOCS = Path(__file__).parents[2] / "docs" / "design" / "store.md"


def documented() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Name and file of the locks that are waited for, in order, and of those that are not."""
    section = DOCS.read_text().split("\n## Locks\n")[1].split("\n## ")[0]
    tables = section.split("\n| lock | file | held |\n")[1:]
    rows = [re.findall(r"^\| ([\w ]+) \| `([^`]+)` \|", table, re.MULTILINE) for table in tables]
    return rows[0], rows[1]


def name_of(path: str, table: list[tuple[str, str]]) -> str:
    """The name that the table gives the lock at *path*."""
    for name, file in table:
        form = re.sub(r"<\w+>", "[^/]+", re.escape(file).replace("…", ".*"))
        if re.search(f"/{form}$", path):
            return name
    raise AssertionError(f"{path} is in no table of docs/design/store.md")


def orders(trace: Path, table: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """How often a thread that held one lock took another one."""
    held: dict[tuple[str, str], list[str]] = defaultdict(list)
    found: dict[tuple[str, str], int] = defaultdict(int)
    for line in trace.read_text().splitlines():
        pid, thread, sign, path = line.split(" ", 3)
        path = path.removesuffix(" (deleted)")
        if sign == "+":
            for other in held[pid, thread]:
                found[name_of(other, table), name_of(path, table)] += 1
            held[pid, thread].append(path)
            continue
        for key, paths in held.items():  # any thread of the process may release it
            if key[0] == pid and path in paths:
                paths.remove(path)
                break
    return found


def test_locks_are_taken_in_the_order_of_the_table(space: Space) -> None:
    (space.base / "sitecustomize.py").write_text(TRACER)
    trace = space.base / "trace"
    env = {"PYTHONPATH": str(space.base), "LOCK_TRACE": str(trace)}
    space.write("dvc.yaml", PIPELINE)
    space.write("params.yaml", "lr: 1\n")
    space.write("raw.txt", "raw\n")
    for line in COMMANDS.splitlines():
        space.dodo(*line.split(), env=env)
        if line == "queue start":
            wait_for(lambda: "Queued" not in space.dodo("queue", "status").out)
            space.dodo("queue", "stop", env=env)
            wait_for(lambda: "0 active, 0 idle" in space.dodo("queue", "status").out)
    waited, free = documented()
    names = [name for name, _ in waited]
    found = orders(trace, waited + free)
    assert found["workspace", "commit"] and found["commit", "names"] and found["labels", "commit"]
    wrong = {
        (before, after): count
        for (before, after), count in found.items()
        if before in names and after in names
        if names.index(before) >= names.index(after) and not before == after == "slot"
    }
    assert wrong == {}
