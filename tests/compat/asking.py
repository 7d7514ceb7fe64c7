"""Asking: one question, answered by real DVC and by us, in the same form (see `oracle.py`)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import UsageError
from dodo_exp.exps import edits
from dodo_exp.pipeline import overrides, params, sweeps, values, yaml12
from dodo_exp.pipeline.model import METRIC, OUT, PLOT, Stage
from dodo_exp.pipeline.overrides import ABSENT, ADD, DELETE, FORCE, SET, Change
from dodo_exp.pipeline.sweeps import FilesSweep, Sweep
from dodo_store.store import Store
from tests.compat import oracle
from tests.compat.oracle import commands, compact, encode, out_form, put

ORACLE = "DODO_ORACLE"
"""The variable that names a Python in which DVC is installed."""

Request = Mapping[str, Any]
Answer = dict[str, Any]


class Oracle:
    """Real DVC in a process of its own, waiting for questions."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, "-P", oracle.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0", "NO_COLOR": "1"},
        )

    def ask(self, request: Request) -> Answer:
        """DVC's answer."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: Answer = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """No more questions."""
        self._process.communicate()


# -- our answers ---------------------------------------------------------------------------


def ours(request: Request, folder: Path) -> Answer:
    """Our answer; *folder* is empty. What is no error of the user's is a bug, and goes through."""
    try:
        return OPS[request["op"]](request, folder)
    except UsageError as error:
        return {"error": str(error)}


def _stages(request: Request, folder: Path) -> Answer:
    if "config" in request:
        put(f"{folder}/.dvc/config", oracle.CONFIG + request["config"])
    for path, text in request["files"].items():
        put(f"{folder}/{path}", text)
    workspace = Workspace(str(folder), Store(f"{folder}/.dodo"))
    stages = workspace.graph.stages
    answer: Answer = {"stages": {name: compact(_form(stage)) for name, stage in stages.items()}}
    top: Answer = {}
    for path, file in workspace.files.items():
        named = {"metrics": file.metrics, "params": file.params, "plots": file.plots}
        if some := {key: encode(list(items)) for key, items in named.items() if items}:
            top[path] = some
    return {**answer, "top": top} if top else answer


def _form(stage: Stage) -> Answer:
    made: dict[str, list[Any]] = {OUT: [], METRIC: [], PLOT: []}
    for out in stage.outs:
        made[out.role].append(out_form(out.path, out.cache, out.persist, out.plot))
    return {
        "cmd": commands(stage.cmds),
        "wdir": stage.wdir,
        "deps": sorted(stage.deps),
        "params": {dep.file: sorted(dep.keys) or None for dep in stage.params},
        **{f"{role}s": sorted(outs, key=repr) for role, outs in made.items()},
        "frozen": stage.frozen,
        "always_changed": stage.always,
        "desc": stage.desc or None,
        "meta": encode(stage.meta),
    }


def _read(request: Request) -> Any:
    return params.parse(request["text"].encode("utf-8", "surrogateescape"), request["file"])


def _params(request: Request, folder: Path) -> Answer:
    return {"value": encode(_read(request))}


def _values(request: Request, folder: Path) -> Answer:
    data = _read(request)
    if not request["keys"]:
        return {"value": encode(data)}
    try:
        return {"value": {key: encode(values.lookup(data, key)) for key in request["keys"]}}
    except KeyError as error:
        return {"error": f"no such parameter: {error}"}


def _yaml(request: Request, folder: Path) -> Answer:
    return {"value": encode(yaml12.load(request["text"], "some.yaml"))}


def _override(request: Request, folder: Path) -> Answer:
    answers = [_change(change) for change in overrides.parse(request["text"])]
    return answers[0] if len(answers) == 1 else {"several": answers}


def _change(change: Change) -> Answer:
    answer: Answer = {"type": TYPES[change.op], "key": ".".join(change.keys)}
    if isinstance(change.value, Sweep):
        return {**answer, "sweep": encode(sweeps.plain(list(change.value.values)))}
    if isinstance(change.value, FilesSweep):
        return {**answer, "files": encode(list(change.value.include))}
    return answer if change.value is ABSENT else {**answer, "value": encode(change.value)}


def _overrides(request: Request, folder: Path) -> Answer:
    file, text = request["file"], request["text"]
    put(f"{folder}/dvc.yaml", json.dumps({"stages": {"a": {"cmd": "x", "params": [{file: []}]}}}))
    if text is not None:
        put(f"{folder}/{file}", text)
    changes = [each for said in request["overrides"] for each in _of_file(file, said)]
    if overrides.is_sweep(changes):
        return {"error": "a sweep"}
    workspace = Workspace(str(folder), Store(f"{folder}/.dodo"))
    planned = edits.plan(workspace, tuple(changes), "").texts
    new = planned.get(file, text or "")
    return {"value": encode(params.parse(new.encode(), file))}


def _sweeps(request: Request, folder: Path) -> Answer:
    named = [(file, text) for file, texts in request["overrides"].items() for text in texts]
    changes = [change for file, text in named for change in _of_file(file, text)]
    return {
        "value": [
            {
                file: [_change(change) for change in made if change.file == file]
                for file in request["overrides"]
            }
            for made in overrides.expand(changes)
        ]
    }


def _of_file(file: str, text: str) -> list[Change]:
    return [change._replace(file=file) for change in overrides.parse(text)]


TYPES = {SET: "CHANGE", ADD: "ADD", FORCE: "FORCE_ADD", DELETE: "DEL"}
OPS: dict[str, Callable[[Request, Path], Answer]] = {
    "stages": _stages,
    "params": _params,
    "values": _values,
    "yaml": _yaml,
    "override": _override,
    "overrides": _overrides,
    "sweeps": _sweeps,
}
