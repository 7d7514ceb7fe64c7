"""Ignore rules: a table after gitignore(5); git itself gave the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from dodo_store.ignore import Ignore

TABLE: list[tuple[str, str, str]] = [
    # rules, what they ignore, what they do not (a path that ends with / is a folder)
    # -- anchoring
    ("foo", "foo foo/ a/foo a/b/foo a/foo/", "foo.txt xfoo foox a/xfoo"),
    ("/foo", "foo foo/", "a/foo a/foo/"),
    ("a/foo", "a/foo a/foo/", "foo b/a/foo"),
    ("/a/foo", "a/foo", "foo b/a/foo"),
    ("a/b/c", "a/b/c", "b/c x/a/b/c a/b"),
    # -- folders only
    ("foo/", "foo/ a/foo/ foo/x a/foo/x/y", "foo a/foo"),
    ("/foo/", "foo/ foo/x", "foo a/foo/ a/foo/x"),
    ("a/foo/", "a/foo/ a/foo/x", "a/foo foo/ b/a/foo/"),
    # -- one star, question mark
    ("*.txt", "a.txt .txt d/a.txt", "a.txtx a.txt.gz txt"),
    ("a*", "a ab abc d/ab", "ba d/ba"),
    ("*", "a a/ a/b .hidden", ""),
    ("a*c", "ac abc abbc", "a/c ab/c abcd"),
    ("a/*", "a/b a/b/ a/b/c", "a/ b"),
    ("a/*/c", "a/b/c", "a/c a/b/b/c"),
    ("*/foo", "a/foo", "foo a/b/foo"),
    ("/*", "a a/ a/b", ""),
    ("/*.c", "cat.c", "sub/cat.c"),
    ("a?c", "abc a-c", "ac abbc a/c"),
    ("?", "a d/b c/x", "ab"),
    ("d?f", "", "d/f"),
    # -- two stars
    ("**/foo", "foo a/foo a/b/foo a/b/foo/", "foox a/xfoo"),
    ("**/a/foo", "a/foo b/a/foo c/b/a/foo", "foo a/b/foo xa/foo"),
    ("a/**", "a/b a/b/ a/b/c", "a/ a b/a"),
    ("a/**/", "a/b/ a/b/c a/b/c/", "a/ a/b"),
    ("a/**/foo", "a/foo a/b/foo a/b/c/foo", "foo b/a/foo a/xfoo"),
    ("a/**/**/foo", "a/foo a/b/c/foo", "foo"),
    ("**", "a a/b a/b/", ""),
    ("**/", "a/ a/b/ a/b", "a"),
    ("a**b", "ab axb axxb", "a/b a/x/b"),
    ("a/b**", "a/b a/bc", "a/c c/a/bc"),
    ("**/b/**", "b/x a/b/x a/b/x/y", "b/ a/b/ b"),
    # -- later lines win, negation
    ("*.txt\n!keep.txt", "a.txt d/a.txt", "keep.txt d/keep.txt"),
    ("!keep.txt\n*.txt", "a.txt keep.txt", "keep"),
    ("foo\n!foo\nfoo", "foo a/foo", "bar"),
    ("foo\n!/foo", "a/foo", "foo"),
    ("*\n!*/\n!*.c", "a.h d/a.h", "d/ a.c d/a.c d/e/a.c"),
    ("/*\n!/foo\n/foo/*\n!/foo/bar", "x x/y foo/baz foo/baz/y", "foo/ foo/bar foo/bar/x"),
    ("foo/*\n!foo/keep", "foo/x", "foo/ foo/keep"),
    ("!foo", "", "foo a/foo"),
    # -- what lies in an ignored folder is not looked at
    ("foo/\n!foo/keep", "foo/ foo/keep foo/x", "foo"),
    ("foo\n!keep", "foo/keep foo/a/keep", "keep a/keep"),
    ("a/**\n!a/b/c", "a/b/ a/b/c", "a/"),
    # -- comments, blanks
    ("#foo\n\n   \nbar", "bar", "#foo foo"),
    ("foo#bar", "foo#bar", "foo"),
    (" foo", "", "foo"),
    ("foo   ", "foo", ""),
    ("foo\r\nbar\r\n", "foo bar", ""),
    ("/", "", "a a/"),
    ("!", "", "a"),
    # -- escapes
    ("\\#foo", "#foo a/#foo", "foo \\#foo"),
    ("\\!foo", "!foo a/!foo", "foo"),
    ("*oo\n!\\!oo", "foo", "!oo"),
    ("a\\*b", "a*b", "aXb ab a\\b"),
    ("a\\?b", "a?b", "aXb"),
    ("a\\[b]", "a[b]", "ab"),
    ("f\\oo", "foo", "f\\oo"),
    ("a\\\\b", "a\\b", "ab a\\\\b"),
    # -- brackets
    ("[ab]", "a b d/a", "c ab"),
    ("x[0-9]", "x0 x5 x9", "x xa x10"),
    ("x[a-c0-2]", "xb x1", "xd x3"),
    ("x[!0-9]", "xa x-", "x5 x"),
    ("x[^0-9]", "xa x^", "x5 x"),
    ("x[]y]", "x] xy", "x[ xz"),
    ("x[!]y]", "xz x[", "x] xy"),
    ("x[a-]", "xa x-", "xb"),
    ("x[\\]y]", "x] xy", "x\\"),
    ("x[*?]", "x* x?", "xa x"),
    ("x[.]y", "x.y", "xay"),
    ("x[!a]y", "xby", "xay x/y"),
    ("x[&~|]", "x& x~ x|", "xa"),
    ("*.[oa]", "x.o d/x.a", "x.c x.oa"),
    ("x[\\d]", "xd", "x1 x\\"),
    ("x[\\w\\s]", "xw xs", "xa x1 x\\"),
    ("x[a\\-c]", "xa x- xc", "xb x\\"),
    ("x[[]", "x[", "x]"),
    ("x[b-a]", "", "xa xb x- x"),
    ("x[!b-a]", "xa xb", "x"),
    ("x[cb-a]", "xc", "xa xb"),
    ("x[[:digit:]]", "x0 x9", "xa x: xd"),
    ("x[[:alpha:]_]", "xa xZ x_", "x0 x:"),
    ("x[![:upper:]]", "xa x0", "xA"),
    ("x[[:xdigit:]]y", "xfy xFy x0y", "xgy"),
    ("x[[:alnum:]]", "xa xA x0", "x- x_"),
    ("x[[:lower:][:punct:]]", "xa x- x]", "xA x0"),
    ("a[/]b", "", "a/b"),
    ("a[!x]b", "ayb", "a/b"),
    # -- patterns that match nothing
    ("[a", "", "a [a ["),
    ("a[", "", "a a["),
    ("x[]", "", "x x] x[]"),
    ("x[[:digit:]", "", "x0 x:"),
    ("foo\\", "", "foo foo\\"),
    ("//foo", "", "foo a/foo"),
    ("!//foo\nfoo", "foo", "bar"),
    # -- three or more stars between slashes are two
    ("***/foo", "foo a/foo a/b/foo", "foox"),
    ("a/***/foo", "a/foo a/b/c/foo", "foo b/a/foo"),
    ("a/****", "a/b a/b/c", "a/ a"),
    # -- what means something to other matchers but not to this one
    ("{foo,bar}", "{foo,bar}", "foo bar"),
    ("a.c", "a.c", "abc"),
    ("a+", "a+", "aa a"),
    ("(a|b)", "(a|b)", "a b"),
    ("^a$", "^a$", "a"),
    ("Foo", "Foo", "foo FOO"),
    (".", "", "a .a"),
    ("./foo", "", "foo"),
]


def ignored(root: Path, path: str, *names: str) -> bool:
    """Whether a walk from the top passes *path* over; one that ends with / is a folder."""
    ignore = Ignore(str(root), names or (".dodoignore",))
    parts = path.rstrip("/").split("/")
    for depth in range(1, len(parts) + 1):
        is_folder = depth < len(parts) or path.endswith("/")
        if ignore.skips("/".join(parts[:depth]), is_folder):
            return True
    return False


@pytest.mark.parametrize("rules, yes, no", TABLE, ids=[row[0] for row in TABLE])
def test_a_rule_ignores_what_gitignore_says(tmp_path: Path, rules: str, yes: str, no: str) -> None:
    (tmp_path / ".dodoignore").write_text(rules + "\n", newline="")
    asked = yes.split() + no.split()
    assert [path for path in asked if ignored(tmp_path, path)] == yes.split()


SPACED: list[tuple[str, list[str], list[str]]] = [
    ("a b", ["a b", "d/a b"], ["a", "b"]),
    ("a\\ ", ["a "], ["a"]),
    ("a\\   ", ["a "], ["a", "a  "]),
    ("a ", ["a"], ["a "]),
    (" a", [" a"], ["a"]),
    ("a\\ b", ["a b"], ["a"]),
    ("?", [" ", "\n"], ["  "]),
    ("a*b", ["a\nb", "a b"], ["a\n"]),
    ("a[!x]b", ["a\nb"], ["axb"]),
    ("a\tb", ["a\tb"], ["a b"]),
    ("a\t", ["a\t"], ["a"]),
    ("a\t  ", ["a\t"], ["a", "a\t "]),
    ("a \t", ["a \t"], ["a", "a "]),
    ("a\\\\ ", ["a\\"], ["a\\ ", "a"]),
    ("a\r\nb\r", ["a", "b"], ["a\r", "b\r"]),
    ("a\rb", ["a\rb"], ["a", "b"]),
    ("a\x0bb\x0cc\x85d\u2028e", ["a\x0bb\x0cc\x85d\u2028e"], ["a", "b", "c", "d", "e"]),
    ("**/b", ["a\nc/b"], ["a\nb"]),
    ("b", ["a\n/b"], ["b\n"]),
    ("a/**", ["a/\n", "a/b\nc"], ["a\n"]),
]


@pytest.mark.parametrize("rules, yes, no", SPACED)
def test_white_space_counts_unless_it_trails(
    tmp_path: Path, rules: str, yes: list[str], no: list[str]
) -> None:
    (tmp_path / ".dodoignore").write_text(rules, encoding="utf-8", newline="")
    assert [path for path in yes + no if ignored(tmp_path, path)] == yes


NESTED: list[tuple[dict[str, str], str, str]] = [
    ({"": "*.txt", "d": "!a.txt"}, "a.txt d/b.txt e/a.txt", "d/a.txt d/e/a.txt"),
    ({"": "!foo", "d": "foo"}, "d/foo d/e/foo", "foo e/foo"),
    ({"": "foo", "d": "!foo", "d/e": "foo"}, "foo d/e/foo", "d/foo d/f/foo"),
    ({"d": "/foo"}, "d/foo", "foo d/e/foo"),
    ({"d": "e/foo"}, "d/e/foo", "e/foo d/foo d/d/e/foo"),
    ({"d": "**/foo"}, "d/foo d/e/foo", "foo e/foo"),
    ({"d/e": "f"}, "d/e/f d/e/g/f", "f d/f"),
    ({"": "d/", "d": "!*"}, "d/a d/", "a"),
    ({"d": "*\n!e/"}, "d/a d/e/a", "d/ d/e/ a"),
    ({"d": "/"}, "", "d/ d/a"),
]


@pytest.mark.parametrize("files, yes, no", NESTED)
def test_the_nearest_file_that_says_something_wins(
    tmp_path: Path, files: dict[str, str], yes: str, no: str
) -> None:
    for folder, rules in files.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / ".dodoignore").write_text(rules + "\n")
    asked = yes.split() + no.split()
    assert [path for path in asked if ignored(tmp_path, path)] == yes.split()


def test_of_two_files_in_a_folder_the_later_named_wins(tmp_path: Path) -> None:
    (tmp_path / ".dvcignore").write_text("foo\nbar\n")
    (tmp_path / ".dodoignore").write_text("!foo\n")
    paths = ["foo", "bar"]
    assert [p for p in paths if ignored(tmp_path, p, ".dvcignore", ".dodoignore")] == ["bar"]
    assert [p for p in paths if ignored(tmp_path, p, ".dodoignore", ".dvcignore")] == paths


def test_without_an_ignore_file_only_the_known_is_passed_over(tmp_path: Path) -> None:
    asked = ["a", "a/", ".hidden", "d/a", "dodo", ".dodoignore", ".gitignore"]
    assert [path for path in asked if ignored(tmp_path, path)] == []


@pytest.mark.parametrize(
    "path", [".dodo/", "a/.dodo/", ".dodo-tmp-1-2", "a/.dodo-tmp-1-2", "a/.dodo-tmp-9-9/"]
)
@pytest.mark.parametrize("defaults", [True, False])
def test_the_stores_own_things_cannot_be_taken_back(
    tmp_path: Path, path: str, defaults: bool
) -> None:
    (tmp_path / ".dodoignore").write_text(f"!{path.rstrip('/')}\n!*\n!**/{path}\n")
    ignore = Ignore(str(tmp_path), (".dodoignore",), defaults=defaults)
    assert ignore.skips(path.rstrip("/"), path.endswith("/"))


def test_what_is_only_named_like_ours_is_not_ours(tmp_path: Path) -> None:
    asked = ["dodo/", ".dodo-tmp", ".dodo2/", "x.dodo/", "x.dodo-tmp-1", ".gitmodules", "x.git/"]
    assert [path for path in asked if ignored(tmp_path, path)] == []


RESERVED = [".git", ".dodo"]


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("defaults", [True, False])
def test_reserved_names_are_ignored_whatever_their_type_and_the_rules(
    tmp_path: Path, name: str, defaults: bool
) -> None:
    (tmp_path / ".dodoignore").write_text(f"!{name}\n!{name}/\n!**/{name}\n")
    ignore = Ignore(str(tmp_path), (".dodoignore",), defaults=defaults)
    for path in (name, f"a/b/{name}"):
        assert ignore.skips(path, True)
        assert ignore.skips(path, False)


DEFAULTS = [".hg", ".svn", "__pycache__", "node_modules", ".pytest_cache", ".mypy_cache"]


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_others_keep_or_make_again_is_passed_over_until_taken_back(
    tmp_path: Path, name: str
) -> None:
    assert ignored(tmp_path, f"{name}/")
    assert ignored(tmp_path, f"a/b/{name}/x")
    assert not ignored(tmp_path, name)
    (tmp_path / ".dodoignore").write_text(f"!{name}/\n")
    assert not ignored(tmp_path, f"{name}/")
    assert not ignored(tmp_path, f"a/b/{name}/x")


@pytest.mark.parametrize("name", [*DEFAULTS, ".dvc/cache", ".dvc/tmp", "env"])
def test_without_the_defaults_only_the_users_rules_hold(tmp_path: Path, name: str) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / ".dodoignore").write_text("*.tmp\n")
    ignore = Ignore(str(tmp_path), (".dodoignore",), defaults=False)
    assert ignored(tmp_path, f"{name}/")
    assert not ignore.skips(name, True)
    assert ignore.skips(f"{name}/x.tmp", False)


def test_a_python_environment_is_passed_over_until_taken_back(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    assert not ignored(tmp_path, "env/")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    assert ignored(tmp_path, "env/")
    assert ignored(tmp_path, "env/lib/x.py")
    (tmp_path / ".dodoignore").write_text("!/env/\n")
    assert not ignored(tmp_path, "env/")


def test_a_byte_order_mark_is_no_part_of_the_first_rule(tmp_path: Path) -> None:
    (tmp_path / ".dodoignore").write_bytes(b"\xef\xbb\xbffoo\n\xef\xbb\xbfbar\n")
    assert ignored(tmp_path, "foo")
    assert not ignored(tmp_path, "bar")


def test_a_rule_in_foreign_bytes_matches_names_in_them(tmp_path: Path) -> None:
    (tmp_path / ".dodoignore").write_bytes(b"a\xff*\n")
    assert ignored(tmp_path, "a\udcffb")
    assert not ignored(tmp_path, "a\udcfeb")


@pytest.mark.parametrize(
    "rules", ["[", "[a", "x[b-a]", "\\", "***[", "a[!", "(", "x{2,1}", "(?P<x>"]
)
def test_a_strange_rule_breaks_nothing_and_later_ones_hold(tmp_path: Path, rules: str) -> None:
    (tmp_path / ".dodoignore").write_text(f"{rules}\nfoo\n")
    assert ignored(tmp_path, "foo")
    assert not ignored(tmp_path, "bar")


def test_an_ignore_file_that_is_a_folder_says_nothing(tmp_path: Path) -> None:
    (tmp_path / ".dodoignore").mkdir()
    assert not ignored(tmp_path, "foo")


def test_many_stars_do_not_take_forever(tmp_path: Path) -> None:
    (tmp_path / ".dodoignore").write_text("a*a*a*b\n**/a/**/b/**/c\n")
    assert not ignored(tmp_path, "a" * 100)
    assert not ignored(tmp_path, "a/b/" * 10 + "d")
