"""Oracle: real DVC answering questions, one JSON request a line on stdin, one JSON answer a line.

Run by the Python that DODO_ORACLE names, which can `import dvc`; it knows nothing of dodo_exp. The
package in which we ask it (`asking.py`) imports this module too, for the form of the answers, so
everything of DVC's is imported where it is used.

| request | answer |
|---|---|
| {op: stages, files, config?} | {stages: {address: stage}, top?, warnings?} |
| {op: params, file, text} | {value} |
| {op: values, text, file, keys} | {value}: what DVC records for these keys of a params file |
| {op: yaml, text} | {value} |
| {op: override, text} | {type, key, value} or {type, key, sweep} |
| {op: overrides, file, text, overrides} | {value}: the file's values once `-S` has edited it |
| {op: sweeps, overrides: {file: [..]}} | {value}: by file the overrides of each experiment |

Whatever DVC refuses is {error}; what it trips over is {error, crash: the exception's name}.
A file's text is UTF-8 (surrogates stand for bytes that are not).
"""

# mypy: disable-error-code="import-not-found"
# (DVC lives in the oracle's environment only.)

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

CONFIG = "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
DEFAULTS: dict[str, Any] = {
    "wdir": ".",
    "deps": [],
    "params": {},
    "outs": [],
    "metrics": [],
    "plots": [],
    "frozen": False,
    "always_changed": False,
    "desc": None,
    "meta": None,
}
"""What a stage need not say; an answer leaves it out, to be read by people."""


# -- the form of answers, shared by both sides ---------------------------------------------


def encode(value: Any) -> Any:
    """A value as JSON in which every type survives: what JSON cannot say gets a tag, as !float."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float | complex | bytes):
        return {f"!{type(value).__name__}": repr(value)}
    if isinstance(value, datetime.date | datetime.time):
        return {f"!{type(value).__name__}": value.isoformat()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {"!tuple": [encode(item) for item in value]}
    if isinstance(value, set | frozenset):
        return {"!set": sorted((encode(item) for item in value), key=repr)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key[:1] != "!" for key in value):
            return {key: encode(item) for key, item in value.items()}
        return {"!map": [[encode(key), encode(item)] for key, item in value.items()]}
    return {f"!{type(value).__name__}": repr(value)}


def compact(stage: Mapping[str, Any]) -> dict[str, Any]:
    """A stage without what goes without saying."""
    return {k: v for k, v in stage.items() if k not in DEFAULTS or v != DEFAULTS[k]}


def out_form(path: str, cache: bool, persist: bool, plot: Mapping[str, Any]) -> Any:
    """An output: its path, and its options if it has any."""
    options = {
        **({} if cache else {"cache": False}),
        **({"persist": True} if persist else {}),
        **{key: encode(value) for key, value in plot.items()},
    }
    return {path: options} if options else path


def commands(cmds: Iterable[str]) -> list[str]:
    """The commands that do something: a shell that is given a blank line does nothing."""
    return [cmd for cmd in cmds if cmd.strip()]


# -- DVC's stages --------------------------------------------------------------------------


def stages(request: Mapping[str, Any]) -> dict[str, Any]:
    """Load a project as `dvc repro` does: every dvc.yaml, then the graph."""
    root = os.getcwd()
    put(os.path.join(root, ".dvc/config"), CONFIG + request.get("config", ""))
    for path, text in request["files"].items():
        put(os.path.join(root, path), text)
    with opened(root) as repo, heard() as said:
        index = repo.index
        index.check_graph()
        answer: dict[str, Any] = {
            "stages": {stage.addressing: compact(stage_form(root, stage)) for stage in index.stages}
        }
        top = top_form(root, index)
    if top:
        answer["top"] = top
    if said:
        answer["warnings"] = said
    return answer


def opened(root: str) -> Any:
    """The repository, without the database of file hashes: opening that takes half of the time."""
    from dvc.repo import Repo
    from dvc_data.hashfile import state

    state.State = lambda *_: state.StateNoop()
    return Repo(root)


def stage_form(root: str, stage: Any) -> dict[str, Any]:
    """One stage as DVC has compiled it."""
    from dvc.dependency import ParamsDependency

    params: dict[str, list[Any] | None] = {}
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency):
            path = path_form(root, dep)
            before = params.get(path, [])
            whole = not dep.params or before is None
            keys = {repr(key): encode(key) for key in (*dep.params, *(before or []))}
            params[path] = None if whole else [keys[key] for key in sorted(keys)]
    made: dict[str, list[Any]] = {"outs": [], "metrics": [], "plots": []}
    for out in stage.outs:
        role = "plots" if out.plot else "metrics" if out.metric else "outs"
        plot = out.plot if isinstance(out.plot, dict) else {}
        made[role].append(out_form(path_form(root, out), out.use_cache, out.persist, plot))
    return {
        "cmd": commands(run_lines(stage)),
        "wdir": os.path.relpath(stage.wdir, root),
        "deps": sorted(
            {path_form(root, d) for d in stage.deps if not isinstance(d, ParamsDependency)}
        ),
        "params": params,
        **{role: sorted(outs, key=repr) for role, outs in made.items()},
        "frozen": stage.frozen,
        "always_changed": stage.always_changed,
        "desc": None if stage.desc == "" else encode(stage.desc),
        "meta": encode(stage.meta),
    }


def run_lines(stage: Any) -> list[str]:
    """What DVC gives to a shell, one by one.

    Raises:
        AttributeError, TypeError: a value that is no command; DVC trips over it in the run.
    """
    from dvc.stage.run import _enforce_cmd_list

    lines: list[str] = _enforce_cmd_list(stage.cmd) if stage.cmd else []
    for line in lines:
        os.fspath(line)  # as `subprocess` has it
    return lines


def path_form(root: str, out: Any) -> str:
    """A path relative to the root; outside it as it was written, tidied."""
    if out.protocol != "local":
        return str(out.def_path)
    if os.path.isabs(out.def_path):
        return os.path.normpath(str(out.def_path))
    return os.path.relpath(out.fs_path, root)


def top_form(root: str, index: Any) -> dict[str, Any]:
    """What stands at the top of each dvc.yaml: metrics, params, plots."""
    found: dict[str, Any] = {}
    for name, of_file in (
        ("metrics", index._metrics),
        ("params", index._params),
        ("plots", index._plots),
    ):
        for file, items in of_file.items():
            folder = os.path.dirname(os.path.relpath(file, root))
            form = encode(items) if name == "plots" else tidy(folder, items)
            found.setdefault(os.path.relpath(file, root), {})[name] = form
    return found


def tidy(folder: str, paths: Iterable[Any]) -> list[Any]:
    """Paths relative to the root; whatever is not a path stays to be seen."""
    return [
        os.path.normpath(os.path.join(folder, path)) if isinstance(path, str) else encode(path)
        for path in paths
    ]


# -- DVC's readers and `-S` ----------------------------------------------------------------


def load(file: str) -> Any:
    """A params file as DVC reads it."""
    from dvc.fs import localfs
    from dvc.utils.serialize import load_path

    return load_path(os.path.abspath(file), localfs)


def params(request: Mapping[str, Any]) -> dict[str, Any]:
    """The whole of a params file."""
    put(request["file"], request["text"])
    return {"value": encode(load(request["file"]))}


def values(request: Mapping[str, Any]) -> dict[str, Any]:
    """What `params: [file: keys]` of a stage comes to when it runs."""
    from dvc.dependency import ParamsDependency

    put(".dvc/config", CONFIG)
    put(request["file"], request["text"])
    with opened(os.getcwd()) as repo:
        dep = ParamsDependency(None, request["file"], request["keys"], repo=repo)
        return {"value": encode(dep.get_hash().value)}


def yaml(request: Mapping[str, Any]) -> dict[str, Any]:
    """A YAML document."""
    from ruamel.yaml import YAML

    return {"value": encode(YAML(typ="safe", pure=True).load(request["text"]))}


def override(request: Mapping[str, Any]) -> dict[str, Any]:
    """One `key=value`."""
    from dvc.utils.hydra import to_hydra_overrides
    from hydra.core.override_parser.types import Override, ValueType

    (parsed,) = to_hydra_overrides([request["text"]])
    answer = {"type": parsed.type.name, "key": parsed.get_key_element().lstrip("+~")}
    if parsed.value_type is None:
        return answer
    if parsed.value_type is ValueType.ELEMENT:
        return {**answer, "value": encode(parsed.value())}
    items = [encode(Override._convert_value(item)) for item in parsed.sweep_iterator()]
    return {**answer, "sweep": items}


def overrides(request: Mapping[str, Any]) -> dict[str, Any]:
    """A params file after `-S`."""
    from dvc.utils.hydra import apply_overrides

    if request["text"] is not None:
        put(request["file"], request["text"])
    apply_overrides(request["file"], request["overrides"])
    return {"value": encode(load(request["file"]))}


def sweeps(request: Mapping[str, Any]) -> dict[str, Any]:
    """The experiments that `--queue` makes of overrides."""
    from dvc.utils.hydra import get_hydra_sweeps

    return {
        "value": [
            {file: [override({"text": text}) for text in texts] for file, texts in made.items()}
            for made in get_hydra_sweeps(request["overrides"])
        ]
    }


OPS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "stages": stages,
    "params": params,
    "values": values,
    "yaml": yaml,
    "override": override,
    "overrides": overrides,
    "sweeps": sweeps,
}


# -- asking --------------------------------------------------------------------------------


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """DVC's answer, or how it refuses."""
    from dvc.exceptions import DvcException
    from hydra.errors import HydraException
    from ruamel.yaml.error import YAMLError

    try:
        return OPS[request["op"]](request)
    except (DvcException, HydraException, YAMLError) as error:
        return {"error": tell(error)}
    except Exception as error:
        return {"error": tell(error), "crash": type(error).__name__}


def tell(error: BaseException) -> str:
    """The message on one line, with the details that DVC prints apart."""
    said = str(error) or str(traceback.extract_tb(error.__traceback__)[-1].line)
    details = getattr(error, "exc", None)
    if details is not None:  # of a dvc.yaml that is not valid
        details = details.__cause__ or details
        said += ": " + "; ".join(map(str, getattr(details, "errors", [details])))
    elif error.__cause__ is not None:
        said += f": {error.__cause__}"
    said = re.sub(r"\x1b\[[0-9;]*m", "", said.replace(os.getcwd() + "/", "")).replace(
        os.getcwd(), "."
    )
    return " ".join(said.split())


def put(path: str, text: str) -> None:
    """Write a file and the folders above it."""
    if folder := os.path.dirname(path):
        os.makedirs(folder, exist_ok=True)
    with open(path, "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))


@contextmanager
def heard() -> Any:
    """The warnings that DVC logs meanwhile."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener = Listener(logging.WARNING)
    logger = logging.getLogger("dvc")
    logger.handlers = [listener]
    yield said


def main() -> None:
    """Answer until stdin ends, each request in a folder of its own."""
    base = os.path.realpath(tempfile.mkdtemp(prefix="oracle-"))
    for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
        os.environ[name] = os.path.join(base, name.lower())
    os.environ["DVC_NO_ANALYTICS"] = "1"
    replies, sys.stdout = sys.stdout, sys.stderr  # DVC may print
    warnings.showwarning = lambda *_, **__: None
    try:
        for number, line in enumerate(sys.stdin):
            root = os.path.join(base, str(number))
            os.mkdir(root)
            os.chdir(root)
            reply = answer(json.loads(line))
            os.chdir(base)
            shutil.rmtree(root)
            print(json.dumps(reply), file=replies, flush=True)
    finally:
        os.chdir("/")
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
