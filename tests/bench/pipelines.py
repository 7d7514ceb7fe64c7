"""The same pipeline for every tool: chains of ten copies, and one stage that nothing else needs."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench.contest import Ground, expect
from tests.bench.peers import ours

LENGTH = 10
PER_FOLDER = 100


class Copy(NamedTuple):
    """A stage."""

    name: str
    dep: str
    out: str


LEAF = Copy("leaf", "leaf_in", "leaf_out")


def copies(stages: int) -> Iterator[Copy]:
    """Every stage; a hundred chains share a folder."""
    for chain in range(stages // LENGTH):
        start = f"d{chain // PER_FOLDER}/{chain}_"
        for i in range(LENGTH):
            yield Copy(f"s{chain}_{i + 1}", f"{start}{i}", f"{start}{i + 1}")
    yield LEAF


def inputs(stages: int) -> Iterator[str]:
    """What no stage makes."""
    for chain in range(stages // LENGTH):
        yield f"d{chain // PER_FOLDER}/{chain}_0"
    yield LEAF.dep


def ends(stages: int) -> list[str]:
    """What no stage needs."""
    found = [f"d{c // PER_FOLDER}/{c}_{LENGTH}" for c in range(stages // LENGTH)]
    return [*found, LEAF.out]


def dvc_yaml(stages: int) -> str:
    """For dodo and DVC."""
    lines = ["stages:\n"]
    for name, dep, out in copies(stages):
        lines.append(f"  {name}:\n    cmd: cp {dep} {out}\n    deps: [{dep}]\n    outs: [{out}]\n")
    return "".join(lines)


def dvc_lock(folder: Path, stages: int) -> str:
    """What DVC writes after a run; its own run takes it time that grows with the square."""
    lines = ["schema: '2.0'\nstages:\n"]
    for name, dep, out in copies(stages):
        lines.append(f"  {name}:\n    cmd: cp {dep} {out}\n")
        for kind, path in (("deps", dep), ("outs", out)):
            data = (folder / path).read_bytes()
            md5 = hashlib.md5(data).hexdigest()
            lines.append(f"    {kind}:\n    - path: {path}\n      hash: md5\n      md5: {md5}\n")
            lines.append(f"      size: {len(data)}\n")
    return "".join(lines)


def makefile(stages: int) -> str:
    """For make."""
    # Make starts a bare program without a shell; for the semicolon it starts one, as all others do.
    rules = [f"{out}: {dep}\n\tcp {dep} {out};\n" for _, dep, out in copies(stages)]
    return f"SHELL := /bin/sh\nall: {' '.join(ends(stages))}\n.PHONY: all\n" + "".join(rules)


def build_ninja(stages: int) -> str:
    """For ninja."""
    rules = [f"build {out}: copy {dep}\n" for _, dep, out in copies(stages)]
    return "rule copy\n  command = cp $in $out\n" + "".join(rules)


def dodo_py(stages: int) -> str:
    """For doit, which reads the list of stages from Python."""
    each = "".join(f"    {tuple(copy)!r},\n" for copy in copies(stages))
    return f"""\
COPIES = [
{each}]

def task_copy():
    for name, dep, out in COPIES:
        yield {{
            "name": name,
            "actions": [f"cp {{dep}} {{out}}"],
            "file_dep": [dep],
            "targets": [out],
        }}
"""


def snakefile(stages: int) -> str:
    """For snakemake."""
    rules = [
        f"rule {name}:\n    input: {dep!r}\n    output: {out!r}\n"
        "    shell: 'cp {input} {output}'\n"
        for name, dep, out in copies(stages)
    ]
    return f"rule all:\n    input: {ends(stages)!r}\n" + "".join(rules)


@dataclass(frozen=True, slots=True)
class Tool:
    """How a tool is told of a pipeline, and started."""

    name: str
    file: str
    text: Callable[[int], str]
    words: tuple[str, ...]
    jobs: str
    """What comes before the number of jobs."""
    state: tuple[str, ...]
    """What it knows of earlier runs."""
    idle: str
    """What it says when there is nothing to do."""

    def command(self, ground: Ground, jobs: int | None = None) -> list[str]:
        """Its run, with so many jobs."""
        program = ours() if self.name == "dodo" else ground.peers.program(self.name)
        if jobs is None:
            jobs = 1 if self.name == "snakemake" else None
        return [program, *self.words, *([] if jobs is None else [f"{self.jobs}{jobs}"])]


TOOLS = {
    each.name: each
    for each in (
        Tool("dodo", "dvc.yaml", dvc_yaml, ("repro",), "-j", (".dodo", "dodo.lock"), "up to date"),
        Tool("dvc", "dvc.yaml", dvc_yaml, ("repro",), "-j", ("dvc.lock", ".dvc"), "up to date"),
        Tool("doit", "dodo.py", dodo_py, (), "-n", (".doit.db",), "-- copy:"),
        Tool("make", "Makefile", makefile, (), "-j", (), "Nothing to be done"),
        Tool("ninja", "build.ninja", build_ninja, (), "-j", (".ninja_log",), "no work to do"),
        Tool("snakemake", "Snakefile", snakefile, (), "-c", (".snakemake",), "Nothing to be done"),
    )
}


def lay_out(ground: Ground, tool: Tool, stages: int) -> Path:
    """A folder with the pipeline, before its first run."""
    folder = ground.new(tool.name)
    folder.mkdir()
    for path in inputs(stages):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(f"input {path}\n")
    (folder / tool.file).write_text(tool.text(stages))
    if tool.name == "dvc":
        git, dvc = ground.peers.program("git"), ground.peers.program("dvc")
        ignored = "/*_[1-9]\n/*_10\n"
        for each in folder.glob("d*/"):
            (each / ".gitignore").write_text(ignored)
        (folder / ".gitignore").write_text(f"/{LEAF.out}\n")
        ground.run([git, "init", "-q"], folder)
        ground.run([dvc, "init", "-q"], folder)
        ground.run([dvc, "config", "core.check_update", "false"], folder)
    return folder


def clean(folder: Path, tool: Tool, stages: int) -> None:
    """Back to before the first run."""
    for _, _, out in copies(stages):
        (folder / out).unlink(missing_ok=True)
    for name in tool.state:
        path = folder / name
        if name == ".dvc":
            for part in ("cache", "tmp"):
                shutil.rmtree(path / part, ignore_errors=True)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def has_run(folder: Path, stages: int) -> None:
    """Every chain has come to its end, with the content that it began with.

    Raises:
        Failed
    """
    for start, end in zip(inputs(stages), ends(stages), strict=True):
        made = (folder / end).exists() and (folder / end).read_bytes()
        expect(made == (folder / start).read_bytes(), f"{end} is not a copy of {start}")


def up_to_date(ground: Ground, tool: Tool, stages: int) -> Path:
    """A folder in which there is nothing to do, as the tool itself says."""

    def make() -> Path:
        folder = lay_out(ground, tool, stages)
        if tool.name == "dvc":
            _as_if_run(folder, stages)
            git = ground.peers.program("git")
            ground.run([git, "add", "-A"], folder)
            ground.run([git, "commit", "-qm", "x"], folder)
        else:
            ground.run(tool.command(ground, 2), folder, timeout=1200)
        has_run(folder, stages)
        said = ground.run.output(tool.command(ground), folder)
        every = said.count(tool.idle) == stages + 1 if tool.name == "doit" else tool.idle in said
        expect(every, f"{tool.name} finds something to do:\n{said[-1000:]}")
        return folder

    return ground.once(("up to date", tool.name, stages), make)


def _as_if_run(folder: Path, stages: int) -> None:
    for _, dep, out in copies(stages):
        data = (folder / dep).read_bytes()
        (folder / out).write_bytes(data)
        md5 = hashlib.md5(data).hexdigest()
        kept = folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(data)
    (folder / "dvc.lock").write_text(dvc_lock(folder, stages))
