"""Groups with a stage for each file of a pattern: what changes when files come and go."""

from __future__ import annotations

from tests.space import Space

PIPELINE = """\
stages:
  clean:
    foreach: ${glob("data/*.txt")}
    do:
      cmd: mkdir -p out && cat ${item} > out/${key}.txt
      deps: ["${item}"]
      outs: ["out/${key}.txt"]
  all:
    cmd: cat out/*.txt > all.txt
    deps: ["${glob('out/*.txt')}"]
    outs: [all.txt]
"""


def made(space: Space) -> dict[str, str]:
    """How each stage of the next run ends."""
    ran = space.dodo("repro", "--json")
    assert ran.code == 0, ran.err
    return ran.stages


def filled(space: Space) -> None:
    space.write("dvc.yaml", PIPELINE)
    space.write("data/a.txt", "a\n")
    space.write("data/b.txt", "b\n")
    assert space.dodo("repro", "clean").code == 0
    assert made(space)["all"] == "ran"
    assert space.read("all.txt") == "a\nb\n"


def test_only_a_new_or_changed_file_is_run_for(space: Space) -> None:
    filled(space)
    space.write("data/b.txt", "B\n")
    space.write("data/c.txt", "c\n")
    stages = made(space)
    assert stages["clean@a"] == "unchanged"
    assert stages["clean@b"] == stages["clean@c"] == "ran"


def test_what_was_made_for_a_file_that_is_gone_goes_too(space: Space) -> None:
    filled(space)
    space.remove("data/a.txt")
    ran = space.dodo("repro")
    assert ran.code == 0
    assert "'clean@a' has no file any more: removed out/a.txt" in ran.err
    assert not space.exists("out/a.txt")
    assert space.read("all.txt") == "b\n"
    assert "clean@a" not in space.read("dodo.lock")
    assert set(made(space).values()) == {"unchanged"}


def test_nothing_to_run_is_no_reason_to_leave_them(space: Space) -> None:
    filled(space)
    space.remove("data/a.txt")
    assert space.dodo("exp", "run", "clean").code == 0
    assert not space.exists("out/a.txt")


def test_an_output_that_was_edited_is_kept_elsewhere(space: Space) -> None:
    filled(space)
    space.write("out/a.txt", "by hand\n")
    space.remove("data/a.txt")
    ran = space.dodo("repro", "clean")
    assert "outputs that the store does not have are kept in .dodo/replaced/clean@a/" in ran.err
    (kept,) = (space.root / ".dodo/replaced/clean@a").rglob("a.txt")
    assert kept.read_text() == "by hand\n"


def test_an_output_that_another_stage_names_stays(space: Space) -> None:
    filled(space)
    space.write("dvc.yaml", PIPELINE.replace("\"${glob('out/*.txt')}\"", "out/a.txt, out/b.txt"))
    space.remove("data/a.txt")
    assert space.dodo("repro", "clean").code == 0
    assert space.read("out/a.txt") == "a\n"


def test_a_target_elsewhere_leaves_them(space: Space) -> None:
    filled(space)
    space.remove("data/a.txt")
    assert space.dodo("repro", "-s", "all").code == 0
    assert space.exists("out/a.txt")


def test_no_file_at_all_is_a_warning(space: Space) -> None:
    space.write("dvc.yaml", PIPELINE)
    ran = space.dodo("status")
    assert ran.code == 0
    assert "dvc.yaml:3:14: 'clean' makes no stages" in ran.err
