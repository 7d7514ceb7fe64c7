"""doit with less than it imports does all that doit does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OURS = """\
from dodo_store import own
own.claim()
"""
LEAN = """\
import sys
from dodo_exp.engine import lean
with lean.doit():
    from dodo_exp.engine import doit_tasks
"""
RARE = "cloudpickle dbm getopt hashlib inspect multiprocessing pathlib pdb pickle".split()


def run(script: str, folder: Path, ours: str = OURS) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ours + LEAN + script], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_that_is_seldom_used_is_loaded_nor_anything_left_in_its_place(
    tmp_path: Path,
) -> None:
    script = f"print(sorted({{*{RARE!r}, 'doit.cmd_run'}} & sys.modules.keys()))"
    assert run(script, tmp_path) == "[]\n"


def test_what_doit_took_works_when_it_is_used(tmp_path: Path) -> None:
    script = """\
import hashlib, pickle
from doit import action, dependency, runner
assert dependency.get_md5("a") == hashlib.md5(b"a").hexdigest()
dumps = getattr(runner, "pickle_dumps", None) or runner.cloudpickle.dumps
assert pickle.loads(dumps([1])) == [1]
assert runner.pickle.PicklingError is pickle.PicklingError
dbm = getattr(dependency, "dbm", None) or dependency.ddbm  # as it is called before 0.37
assert issubclass(dbm.error[0], Exception)
assert issubclass(action.pdb.Pdb, object)
"""
    run(script, tmp_path)


def test_in_a_process_that_is_not_ours_doit_takes_all_that_it_takes_elsewhere(
    tmp_path: Path,
) -> None:
    script = """\
from pathlib import Path
from doit.task import Task
assert Task("t", None, file_dep=[Path("x")]).file_dep == {"x"}
"""
    run(script, tmp_path, ours="")


def test_doit_is_all_there_when_it_is_asked_for(tmp_path: Path) -> None:
    script = """\
import doit
assert doit.tools.run_once and doit.Globals and callable(doit.get_var)
assert {"run", "create_after", "task_params"} <= set(doit.__all__)
assert all(getattr(doit, name) for name in doit.__all__)
from doit.doit_cmd import DoitMain
"""
    run(script, tmp_path)


@pytest.mark.parametrize("kind", ["process", "thread"])
@pytest.mark.parametrize("backend", ["dbm", "json", "sqlite3"])
def test_doit_itself_runs_in_the_same_process(tmp_path: Path, kind: str, backend: str) -> None:
    (tmp_path / "dodo.py").write_text(
        "def task_a():\n"
        "    for i in range(3):\n"
        "        yield {'name': str(i), 'actions': [f'echo {i} > out{i}'],\n"
        "               'file_dep': ['dodo.py'], 'targets': [f'out{i}']}\n"
    )
    script = f"""\
from doit.doit_cmd import DoitMain
words = ["run", "-n", "2", "-P", {kind!r}, "--backend", {backend!r}, "--db-file", "db"]
assert DoitMain().run(words) == 0
print("again", flush=True)
assert DoitMain().run(words) == 0
"""
    said = run(script, tmp_path)
    assert [(tmp_path / f"out{i}").read_text() for i in range(3)] == ["0\n", "1\n", "2\n"]
    assert said.partition("again")[2].count("-- a:") == 3  # all up to date


def test_beside_another_thread_nothing_stands_for_anything(tmp_path: Path) -> None:
    script = """\
import threading
event = threading.Event()
thread = threading.Thread(target=event.wait)
thread.start()
for name in [name for name in sys.modules if name.partition(".")[0] == "doit"]:
    del sys.modules[name]
del sys.modules["dodo_exp.engine.doit_tasks"]
with lean.doit():
    import multiprocessing
    assert isinstance(multiprocessing.Process, type)
event.set()
thread.join()
"""
    run(script, tmp_path)
