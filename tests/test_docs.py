"""The docs cannot lie: what they show is run, what there is is in them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dodo_exp import errors
from tests.cli.test_main import EVERY
from tests.space import Space

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def console(page: Path) -> Iterator[tuple[str, str]]:
    """Commands and outputs of a page's console blocks, in order."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def shell(space: Space, command: str) -> str:
    """What a command of a page prints on standard output."""
    done = subprocess.run(
        command,
        shell=True,
        executable="/bin/bash",
        cwd=space.root,
        env=space.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def nothing(space: Space) -> None:
    """An empty folder."""


def changed_rate(space: Space) -> None:
    """A project that has run, and whose learning rate was changed since."""
    space.three_stages()
    space.exp()
    space.write("params.yaml", space.read("params.yaml").replace("0.1", "0.3"))


def two_files(space: Space) -> None:
    """The project of the page on dvc.yaml, whose text the page itself shows."""
    page = (DOCS / "reference/dvc-yaml.md").read_text()
    space.write("dvc.yaml", page.split("$ cat dvc.yaml\n")[1].split("$ dodo")[0])
    space.write("data/us.csv", "1\n")
    space.write("data/uk.csv", "2\n")


def raw_data(space: Space) -> None:
    """The project of the page on running some stages, whose text the page itself shows."""
    page = (DOCS / "how-to/run-some-stages.md").read_text()
    space.write("dvc.yaml", page.split("$ cat dvc.yaml\n")[1].split("$ dodo")[0])
    space.write("params.yaml", "lines: 1\n")
    space.write("raw.txt", "b\na\n")


def two_experiments(space: Space) -> None:
    """A project with `first` and `second`; the workspace holds the second."""
    space.three_stages()
    space.exp("-n", "first")
    space.exp("-n", "second", "-S", "train.lr=0.5")


def with_plots(space: Space) -> None:
    """The project of the page on plots, whose dvc.yaml the page itself shows."""
    page = (DOCS / "how-to/plots.md").read_text()
    space.write("dvc.yaml", page.split("```yaml\n")[1].split("```")[0])
    space.write(
        "train.py",
        """\
        import os
        os.makedirs("pictures")
        open("pictures/one.svg", "w").write("<svg xmlns='http://www.w3.org/2000/svg'/>")
        open("metrics.json", "w").write('{"loss": 0.25}')
        open("curve.csv", "w").write("epoch,loss,test_loss\\n1,0.5,0.6\\n2,0.25,0.4\\n")
        open("classes.csv", "w").write("actual,predicted\\na,a\\na,b\\n")
        """,
    )
    space.exp("-n", "first")


def training(space: Space) -> None:
    """The project of the page on checkpoints, whose files the page itself shows."""
    page = (DOCS / "how-to/checkpoints.md").read_text()
    space.write("dvc.yaml", page.split("```yaml\n")[1].split("```")[0])
    space.write("train.py", page.split("```python\n")[1].split("```")[0])
    space.write("params.yaml", "rate: 0.5\nepochs: 5\n")


def digits(space: Space) -> None:
    """The example with digits, and the dodo.py that the page on doit shows."""
    made = shutil.ignore_patterns("data", "*.pkl", "*.json", "*.csv", "dodo.lock", ".dodo")
    shutil.copytree(ROOT / "examples/digits", space.root, ignore=made, dirs_exist_ok=True)
    page = (DOCS / "how-to/doit.md").read_text()
    space.write("dodo.py", page.split("```python\n")[1].split("```")[0])


def scripts(space: Space) -> None:
    """The scripts of the example with digits, and no dvc.yaml."""
    for name in ("src", "params.yaml"):
        whole = ROOT / "examples/digits" / name
        copy = shutil.copytree if whole.is_dir() else shutil.copy
        copy(whole, space.root / name)
    shutil.rmtree(space.root / "src/__pycache__", ignore_errors=True)


PAGES: dict[str, Callable[[Space], None]] = {
    "tutorial/first-experiment.md": nothing,
    "how-to/author-a-pipeline.md": scripts,
    "how-to/checkpoints.md": training,
    "how-to/compare.md": two_experiments,
    "how-to/doit.md": digits,
    "how-to/find-out-why.md": changed_rate,
    "how-to/go-back.md": two_experiments,
    "how-to/move-experiments.md": two_experiments,
    "how-to/plots.md": with_plots,
    "how-to/queue.md": Space.three_stages,
    "how-to/run-some-stages.md": raw_data,
    "how-to/save-space.md": two_experiments,
    "reference/dvc-yaml.md": two_files,
    "reference/params.md": Space.three_stages,
}


def timeless(text: str) -> str:
    """What is the same on every run."""
    text = re.sub(r"sha256 [0-9a-f]{64}", "sha256 SHA", text)
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "12:00:00", text)
    text = re.sub(r"^ *\S+ k?B  outputs set aside", "  1 kB  outputs set aside", text, flags=re.M)
    text = re.sub(r"\b\d+ kB\b|\b\d\.\d+ kB\b", "1 kB", text)
    return re.sub(r"\b\d\.\d s\b", "0.1 s", text)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_prints_what_it_says(space: Space, name: str) -> None:
    PAGES[name](space)
    blocks = list(console(DOCS / name))
    assert blocks
    for command, output in blocks:
        assert timeless(shell(space, command)) == timeless(output), command


def test_the_python_of_a_page_runs(space: Space) -> None:
    space.three_stages()
    for block in re.findall(
        r"^```python\n(.*?)^```", (DOCS / "how-to/python.md").read_text(), re.M | re.S
    ):
        space.write("block.py", block)
        shell(space, f"{sys.executable} block.py")
    shell(space, "dodo queue stop")
    assert "train/loss" not in space.read("dvclive/metrics.json")
    assert space.exists("dvclive/plots/metrics/train/loss.tsv")


def test_every_page_with_console_blocks_is_run() -> None:
    pages = {str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md") if "```console" in p.read_text()}
    assert pages == PAGES.keys()


def test_the_reference_of_commands_is_what_the_commands_say() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_has_its_place_in_the_reference(words: tuple[str, ...]) -> None:
    assert f"\n## dodo {' '.join(words)}\n" in (DOCS / "reference" / "cli.md").read_text()


def test_every_exit_code_is_explained() -> None:
    page = (DOCS / "reference" / "exit-codes.md").read_text()
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, errors.DodoError)}
    assert codes >= {1, 2, 3, 4, 5}
    for code in codes:
        assert f"\n| {code} |" in page


@pytest.mark.parametrize(
    "section, args",
    [
        ("exp run", ["exp", "run", "--json", "-f"]),
        ("repro", ["repro", "--json"]),
        ("exp run --dry", ["exp", "run", "--dry", "--json"]),
        ("why", ["why", "train", "--json"]),
        ("stage list", ["stage", "list", "--json"]),
        ("store check", ["store", "check", "--json"]),
        ("exp save", ["exp", "save", "--json"]),
        ("exp show", ["exp", "show", "--json"]),
        ("exp list", ["exp", "list", "--json"]),
        ("undo", ["undo", "--json"]),
        ("undo", ["undo", "--list", "--json"]),
        ("checkout", ["checkout", "--json"]),
        ("checkout", ["commit", "--json"]),
        ("gc", ["gc", "--json"]),
        ("store ls", ["store", "ls", "--json"]),
        ("store ls", ["store", "du", "--json"]),
    ],
)
def test_every_json_key_is_explained(project: Space, section: str, args: list[str]) -> None:
    page = (DOCS / "reference" / "json-output.md").read_text()
    text = page.split(f"**`{section}`")[1].split("\n\n")[0]
    project.exp()
    value = project.dodo(*args).json
    keys = value[0].keys() if isinstance(value, list) else value.keys()
    for key in keys:
        assert f"`{key}`" in text, key


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"


def example(space: Space, name: str) -> None:
    """An example as it is before its first run, though somebody has run it where it lies."""
    runs = shutil.ignore_patterns(".dodo", "dodo.lock")
    shutil.copytree(ROOT / "examples" / name, space.root, dirs_exist_ok=True, ignore=runs)


def test_the_demo_runs_real_experiments(space: Space) -> None:
    example(space, "digits")
    text = shell(space, "sh demo.sh")
    assert "Ran experiment" in text
    assert ": the same result as experiment" in text
    _, baseline = space.dodo("exp", "show", "--json").json
    for experiment in baseline["experiments"]:
        metrics = experiment["revs"][0]["data"]["metrics"]["metrics.json"]["data"]
        assert 0.95 < metrics["accuracy"] < 1


@pytest.mark.parametrize("name", ["digits", "matrix"])
def test_the_example_says_what_runs(space: Space, name: str) -> None:
    example(space, name)
    for command, _ in console(ROOT / "examples" / name / "README.md"):
        shell(space, command)


def test_the_example_of_many_stages_runs_only_what_is_new(space: Space) -> None:
    example(space, "matrix")
    assert set(space.exp().stages.values()) == {"ran"}
    stages = space.exp("-S", "config.toml:fit.degrees=[2, 3, 4, 6]").stages
    assert {name for name, how in stages.items() if how == "ran"} == {
        "fit@lisbon-3",
        "fit@oslo-3",
        "best",
    }
