"""Measure `exp show` and the page with many experiments, and beside DVC with a hundred.

Prints medians, with the least and the most. DVC is the program that --dvc names, or none. Nothing
here is asserted: see tests/ for that.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dodo_exp.exps.record import load
from dodo_exp.project import Project
from dodo_store import durable, record
from dodo_store.oid import Oid
from dodo_store.pool import Batch

DODO = [sys.executable, "-m", "dodo_exp"]
PIPELINE = """\
stages:
  train:
    cmd: 'echo "{\\"acc\\": 0.5, \\"loss\\": 0.1}" > m.json'
    deps: [in]
    params: [train]
    metrics: [m.json: {cache: false}]
"""


def make(folder: Path, params: int) -> None:
    """A project with one experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "in").write_text("x\n")
    rows = "".join(f"  p{k:02}: {k}.5\n" for k in range(params))
    (folder / "params.yaml").write_text(f"train:\n{rows}")


def fill(folder: Path, count: int, params: int) -> None:
    """So many experiments more, ten of whose params vary."""
    rng = random.Random(1)
    project = Project.find(str(folder))
    store = project.write()
    oid = store.experiments.get("seed")
    assert oid is not None
    base, made = load(store, oid), []
    with store.writing(), store.scratch() as scratch:
        batch = Batch(scratch)
        for i in range(count):
            values = {f"p{k:02}": rng.random() if k < 10 else k + 0.5 for k in range(params)}
            one = base._replace(
                name=f"exp-{i:05}",
                created=time.time() - count + i,
                params={"params.yaml": {"data": {"train": values}}},
                metrics={"m.json": {"data": {"acc": rng.random(), "loss": rng.random()}}},
                state=Oid(os.urandom(16)),
            )
            made.append((one.name, store.add_record(batch, record.EXPERIMENT, one._asdict())))
        batch.commit()
        batch.drop()
    durable.set_level("off")
    for name, each in made:
        store.experiments.set(name, each)
    time.sleep(0.1)


def timed(
    command: list[str], folder: Path, runs: int, before: Callable[[], object] = lambda: None
) -> str:
    """Median seconds of a command, with the least and the most."""
    took = []
    env = {**os.environ, "COLUMNS": "160"}
    for _ in range(runs):
        before()
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
        took.append(time.perf_counter() - started)
    return f"{statistics.median(took):.3f} s ({min(took):.3f} to {max(took):.3f}, n={runs})"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--dvc", help="DVC's program, to be measured beside")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        top = Path(name)
        for count in (20, 100, 1000, 5000):
            folder = top / str(count)
            make(folder, 50)
            subprocess.run([*DODO, "exp", "run", "-q", "-n", "seed"], cwd=folder, check=True,
                           stdout=subprocess.DEVNULL)  # fmt: skip
            fill(folder, count, 50)
            subprocess.run(
                [*DODO, "exp", "show"], cwd=folder, check=True, stdout=subprocess.DEVNULL
            )
            print(f"{count:,} experiments of 50 params")
            show = [*DODO, "exp", "show"]
            print("  exp show            ", timed(show, folder, given.runs))
            filtered = [*show, "--filter", "acc > 0.9", "--sort-by", "acc"]
            print("  --filter --sort-by  ", timed(filtered, folder, given.runs))
            print("  --json              ", timed([*show, "--json"], folder, given.runs))
            index = folder / ".dodo" / "index"
            gone = lambda index=index: index.unlink(missing_ok=True)  # noqa: E731
            print("  index deleted       ", timed(show, folder, given.runs, gone))
            save = [*DODO, "exp", "save", "-f", "-n", "more"]
            more = lambda save=save, folder=folder: subprocess.run(  # noqa: E731
                save, cwd=folder, stdout=subprocess.DEVNULL, check=True
            )
            print("  one more experiment ", timed(show, folder, given.runs, more))
            page = [*show, "--html", f"{folder}/.dodo/page.html"]
            print("  --html              ", timed(page, folder, given.runs))
            size = (folder / ".dodo" / "page.html").stat().st_size
            print(f"  size of the page     {size / 1e6:.2f} MB")
        print(f"most memory: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MiB")
        if given.dvc:
            beside(top / "dvc", given.dvc, given.runs)


def beside(folder: Path, dvc: str, runs: int) -> None:
    """DVC with twenty experiments, and dodo with the same number in the same folder."""
    make(folder, 50)
    env = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "PATH": f"{Path(dvc).parent}:{os.environ['PATH']}",
    }

    def run(*words: str) -> None:
        subprocess.run(words, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # fmt: skip

    run("git", "init", "-q")
    run("git", "config", "user.email", "a@b")
    run("git", "config", "user.name", "x")
    run(dvc, "init", "-q")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "base")
    for i in range(20):
        run(dvc, "exp", "run", "-q", "-S", f"train.p00={i}.25")
        run(*DODO, "exp", "run", "-q")
    print("20 experiments")
    for words in (
        ["exp", "show", "--csv"],
        ["exp", "show", "--json"],
        ["metrics", "diff", "--json"],
    ):
        theirs, ours = timed([dvc, *words], folder, runs), timed([*DODO, *words], folder, runs)
        print(f"  {' '.join(words):22} dodo {ours}   DVC {theirs}")


if __name__ == "__main__":
    main()
