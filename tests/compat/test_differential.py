"""Made-up projects and params files: what we make of them is what real DVC makes of them.

Not part of the default suite: `DODO_ORACLE=/path/to/python pytest -m oracle tests/compat`, with
DODO_EXAMPLES for how many. The Python needs `dvc==3.67.1`, with its own hydra-core and ruamel.yaml.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compat import texts
from tests.compat.asking import ORACLE, Answer, Oracle, ours
from tests.compat.projects import MEMBERS, VALUES, WRITERS, Project, projects, reachable, spelled

pytestmark = pytest.mark.oracle
EXAMPLES = int(os.environ.get("DODO_EXAMPLES", "200"))
THOROUGH = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """Real DVC."""
    if not os.environ.get(ORACLE):
        pytest.skip(f"{ORACLE} names no Python with DVC in it")
    running = Oracle(os.environ[ORACLE])
    yield running
    running.close()


def ask_ours(request: dict[str, Any]) -> Answer:
    """Our answer, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        return ours(request, Path(folder).resolve())


# -- projects ------------------------------------------------------------------------------

REFUSALS = {
    "not closed on its line": "a template that is not closed is a slip",
    "would both be the stage": "names that are the same text lose a stage in DVC",
    "of the matrix must be a list": "an axis of characters is a slip",
    "has an empty 'cmd'": "a stage without a command does nothing",
    "leads outside the project": "a stage runs inside its project",
    "lies outside the project": "an output is kept, so it is inside the project",
    "is a protected path": "no stage writes what is not its own",
    "a stage name must be a word": "a group without a name is a slip",
    "not a stage name": "@ separates a group from its members; control characters are a slip",
    "which cannot stand here": "null and {} are no text; DVC takes them for nothing",
}
"""What we refuse and DVC does not, by our message, and why."""

EARLY = (
    *("is not a variable's name", "may not hold templates", "must be a mapping"),
    *(
        "a template in a template",
        "must be a list of keys",
        "must be text",
        "must be a list",
        "unknown key",
    ),
)
"""Faults in a group without members: DVC does not look at what it never makes."""

CRASHES = (
    *(r"^'\w+' object has no attribute '(splitlines|decode)'", r"^'\w+' not supported\."),
    *(r"^expected str, bytes or os\.PathLike object, not (int|float|bool)",),
    *(r"^join\(\) argument must be str", r"^Only list of str/dict is supported", r"^assert p$"),
)
"""What DVC trips over where a number fills a whole text: its text was meant."""


def expected_difference(project: Project, our: Answer, dvcs: Answer) -> str | None:
    """Why the answers may differ, if they may."""
    if "error" in our and "error" not in dvcs:
        if any(message in our["error"] for message in EARLY) and _has_empty_group(project, dvcs):
            return "a fault is told where it stands"
        return next((why for message, why in REFUSALS.items() if message in our["error"]), None)
    if "error" in dvcs and "error" not in our:
        if "crash" in dvcs and any(re.search(rule, dvcs["error"]) for rule in CRASHES):
            return "the text of a number was meant"
        if ".meta'" in dvcs["error"] and "Cannot interpolate data of type" in dvcs["error"]:
            return "meta may hold anything"
        if dvcs.get("crash") == "AssertionError" and "matrix: {}" in str(project):
            return "a matrix without axes makes no stages, like an empty foreach"
        return None
    if plainly(our, dvcs) == plainly(dvcs, dvcs):
        return "what is text for us can be of other types in DVC: desc, plot options, params' names"
    zeros = _in_zero(our) - _in_zero(dvcs)
    if zeros and plainly(_but(our, zeros), dvcs) == plainly(_but(dvcs, zeros), dvcs):
        return "a wdir of 0 or false is none in DVC, while 1 and true crash: the text was meant"
    return None


def _in_zero(answer: Answer) -> set[str]:
    """Stages that run in a folder whose name is the text of a value that is false in Python."""
    falsy = {"0", "0.0", "-0.0", "false"}
    stages = answer.get("stages", {}).items()
    return {name for name, stage in stages if os.path.basename(stage.get("wdir", "")) in falsy}


def _but(answer: Answer, names: set[str]) -> Answer:
    """The answer without some of its stages."""
    return answer | {"stages": {k: v for k, v in answer["stages"].items() if k not in names}}


def _has_empty_group(project: Project, dvcs: Answer) -> bool:
    made = {name.rpartition(":")[2].rpartition("@")[0] for name in dvcs["stages"]}
    texts = [text for path, text in project.files.items() if path.endswith("dvc.yaml")]
    stages = [stages for text in texts for stages in yaml.safe_load(text)["stages"].items()]
    return any(({"foreach", "matrix"} & {*entry}) and name not in made for name, entry in stages)


def plainly(answer: Answer, dvcs: Answer) -> Any:
    """An answer with texts for numbers, and without commands where DVC would run nothing."""

    def text(value: Any) -> Any:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, dict) and "!float" in value:
            return value["!float"]
        return str(value) if isinstance(value, int) else value

    stages = json.loads(json.dumps(answer["stages"]))
    for name, stage in stages.items():
        if "desc" in stage:
            stage["desc"] = text(stage["desc"])
        for file, keys in stage.get("params", {}).items():
            stage["params"][file] = keys and sorted(map(text, keys))
        for plot in stage.get("plots", ()):
            for options in plot.values() if isinstance(plot, dict) else ():
                if "title" in options:
                    options["title"] = text(options["title"])
        if not dvcs["stages"].get(name, {}).get("cmd"):
            del stage["cmd"]
    return {**answer, "stages": stages}


@given(project=projects())
@THOROUGH
def test_a_project_compiles_to_the_stages_that_dvc_makes(oracle: Oracle, project: Project) -> None:
    dvcs = oracle.ask(project.request)
    dvcs.pop("warnings", None)
    our = ask_ours(project.request)
    if our == dvcs or ("error" in our and "error" in dvcs):
        return
    if expected_difference(project, our, dvcs) is None:
        pytest.fail(told(str(project), dvcs, our), pytrace=False)


def told(asked: str, dvcs: Any, our: Any) -> str:
    """A question and two answers, for people."""
    before, after = (
        json.dumps(answer, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
        for answer in (dvcs, our)
    )
    lines = difflib.unified_diff(before, after, "DVC", "ours", lineterm="")
    return "\n".join([asked, "", *lines])


# -- readers -------------------------------------------------------------------------------

LOOSE = {
    "did not find expected key": "an empty key",
    "did not find expected node content": "an empty key",
    "did not find expected ','": "an empty key",
    "found unexpected ':'": "a colon at the end of a word in brackets",
    "alphabetic": "an odd name of an anchor or a directive",
    "directive name": "a directive that nobody knows",
    "found a tab character": "a tab as indentation",
    "an alias that contains itself": "a merge of a mapping into itself",
    "Illegal character '\\r'": "a carriage return in TOML",
    "not valid TOML: Invalid value": "a carriage return in TOML",
    "not valid TOML: Expected newline": "a carriage return in TOML",
    "not valid TOML: Invalid initial character": "TOML 1.1: a line break in an inline table",
    "not valid TOML: Unclosed inline table": "TOML 1.1: a line break in an inline table",
    "not valid TOML: Unescaped '\\'": "TOML 1.1: an escape \\e",
    "duplicate key": "of two values one is a mistake",
    "a key must be a word": "a list as a key",
    "<document start>": "a block of text as the whole document, not indented",
    "must be a mapping": "a params file names values",
}
"""What we refuse and DVC reads, by our message: nothing that anybody writes on purpose."""

TIGHT = {
    r"\t": "a tab between words",
    r"\S#": "a comment right behind a sign",
    r"\n +&|&\w*:": "libyaml is not strict about where an anchor stands",
    r"(?m)(^|[ :\[,-])=": "an equals sign alone is text in YAML 1.2",
    r"\A\s*\Z": "an empty file has no params",
}
"""What DVC refuses and we read, by the text."""


def expected_reading(text: str, our: Answer, dvcs: Answer) -> str | None:
    """Why two readings may differ, if they may."""
    if "error" in our and "error" not in dvcs:
        return next((why for message, why in LOOSE.items() if message in our["error"]), None)
    if "error" in dvcs and "error" not in our:
        return next((why for rule, why in TIGHT.items() if re.search(rule, text)), None)
    if re.search(r"[&*]\w*:", text):
        return "a colon belongs to the name of an anchor, or does not"
    return "only JSON's types" if our == json_only(dvcs) else None


def json_only(value: Any) -> Any:
    """An encoded value with dates, tuples, sets and others as our readers have them."""
    if isinstance(value, list):
        return [json_only(item) for item in value]
    if not isinstance(value, dict):
        return value
    for tag, inner in value.items():
        if tag in ("!tuple", "!set"):
            return [json_only(item) for item in inner]
        if tag in ("!date", "!datetime", "!time", "!complex", "!bytes"):
            return inner
    return {key: json_only(inner) for key, inner in value.items()}


def compare_readings(oracle: Oracle, request: dict[str, Any]) -> None:
    """Ask both about a text and tell how their answers differ."""
    dvcs, our = oracle.ask(request), ask_ours(request)
    if our == dvcs or ("error" in our and "error" in dvcs):
        return
    if expected_reading(request["text"], our, dvcs) is None:
        pytest.fail(told(repr(request["text"]), dvcs, our), pytrace=False)


@given(text=texts.edited(texts.YAML))
@THOROUGH
def test_yaml_means_what_ruamel_makes_of_it(oracle: Oracle, text: str) -> None:
    compare_readings(oracle, {"op": "yaml", "text": text})


@pytest.mark.parametrize(
    "file, samples",
    [
        ("p.yaml", texts.YAML),
        ("p.json", texts.JSON),
        ("p.toml", texts.TOML),
        ("p.py", texts.PYTHON),
    ],
)
def test_a_params_file_holds_what_dvc_reads_from_it(
    oracle: Oracle, file: str, samples: list[str]
) -> None:
    @given(text=texts.edited(samples))
    @THOROUGH
    def check(text: str) -> None:
        compare_readings(oracle, {"op": "params", "file": file, "text": text})

    check()


STEPS = st.sampled_from([*MEMBERS, "0", "1", "5", "x", "2"])


@given(
    data=st.dictionaries(st.one_of(st.sampled_from(MEMBERS), st.integers(0, 2)), VALUES),
    keys=st.lists(st.lists(STEPS, min_size=1, max_size=3).map(".".join), min_size=1, max_size=2),
)
@THOROUGH
def test_a_param_has_the_value_that_dvc_finds(
    oracle: Oracle, data: dict[Any, Any], keys: list[str]
) -> None:
    request = {"op": "values", "file": "p.yaml", "text": spelled(data), "keys": keys}
    dvcs, our = oracle.ask(request), ask_ours(request)
    if "error" in dvcs and "d.e" in str(keys):
        return  # DVC does not find a key with a dot in it
    if not (our == dvcs or ("error" in our and "error" in dvcs)):
        pytest.fail(told(f"{keys} of\n{request['text']}", dvcs, our), pytrace=False)


# -- overrides -----------------------------------------------------------------------------

STRICT = {
    "a deletion takes one value": "a sweep of deletions means nothing",
    "there twice": "of two values one is a mistake",
    "never ends": "a step of 0 never ends",
    "cannot convert None": "a cast of null is a mistake",
}
"""Overrides that we refuse and DVC reads, by our message, and why."""


@given(text=texts.overrides())
@THOROUGH
def test_an_override_means_what_hydra_makes_of_it(oracle: Oracle, text: str) -> None:
    request = {"op": "override", "text": text}
    dvcs, our = oracle.ask(request), ask_ours(request)
    if "Sweep" in str(dvcs):
        dvcs = {"error": "a sweep inside a list, a mapping or another sweep"}
    if rounded(our) == rounded(dvcs):
        return
    if "error" in our:
        is_expected = "error" in dvcs or any(message in our["error"] for message in STRICT)
    else:  # we read more than Hydra does, as far as it comes to a value
        is_expected = "error" in dvcs and "!" not in str(our).replace("!float", "").replace(
            "!map", ""
        )
    if not is_expected:
        pytest.fail(told(text, dvcs, our), pytrace=False)


def rounded(value: Any) -> Any:
    """An encoded value without the noise of floats."""
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "!float" in value:
        return {"!float": f"{float(value['!float']):.12g}"}
    return {key: rounded(inner) for key, inner in value.items()}


ALLOWED = {
    "Could not override": "an unknown key is added, with a warning",
    "Error merging override": "a change of type is made, with a warning",
    "Could not delete from config": "what is null is there, and can be deleted",
    "list indices must be integers": "an item of a list can be deleted",
    "LexerNoViableAltException": "an item of a list can be counted from the end",
}
"""Edits that DVC refuses and we make, by its message, and why."""
REFUSED = {
    "is not a mapping": "a value is not replaced by a mapping because a name leads through it",
    "TOML has no null": "DVC sees only what is there in the end",
}
"""Edits that we refuse and DVC makes, by our message, and why."""
SIMPLE = st.sampled_from(
    "5 -0.5 1e-7 x null true '' 'a_b' '1' 'k:_v' '#_c' 'é' [1,x] [] {lr:5} {x:{y:1}} {}".split()
).map(lambda value: value.replace("_", " "))
NEW = st.sampled_from(["+", "++", "~", "", "", "", ""])


@st.composite
def edits(draw: Any) -> dict[str, Any]:
    """A params file and what to change in it."""
    format = draw(st.sampled_from(["yaml", "yaml", "json", "toml"]))
    data = draw(st.dictionaries(st.sampled_from("lr opt k-1 b_2".split()), VALUES, min_size=1))
    data = json.loads(json.dumps(data).replace("${", "{"))
    names = [re.sub(r"\[(\d+)\]", r".\1", n) for n, _ in reachable(data)]
    keys = st.sampled_from([*names, "new", "lr.new", "opt.a.b"])
    changes = draw(st.lists(st.tuples(NEW, keys, SIMPLE), min_size=1, max_size=2))
    return {
        "op": "overrides",
        "file": f"p.{format}",
        "text": WRITERS[format](data),
        "overrides": [
            f"{sign}{key}" if sign == "~" else f"{sign}{key}={value}"
            for sign, key, value in changes
        ],
    }


@given(request=edits())
@THOROUGH
def test_a_file_holds_after_an_edit_what_dvc_puts_there(
    oracle: Oracle, request: dict[str, Any]
) -> None:
    dvcs, our = oracle.ask(request), ask_ours(request)
    if our == dvcs or ("error" in our and "error" in dvcs):
        return
    messages, said = (REFUSED, our) if "error" in our else (ALLOWED, dvcs)
    if not any(message in said.get("error", "") for message in messages):
        pytest.fail(told(f"{request['overrides']} on\n{request['text']}", dvcs, our), pytrace=False)
