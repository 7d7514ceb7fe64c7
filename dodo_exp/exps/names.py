"""Names of experiments: two words, or what the user says within the rules of a file name."""

from __future__ import annotations

import os

from dodo_exp.errors import UsageError
from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_RULE = pattern(r"[^\W_][\w.\-]*\Z")
_JOINERS = "\u200d\ufe0f"
_RESERVED = {"HEAD", "workspace"}
_FIRST = (
    "amber ample apt azure bold brave brief brisk calm civil clean clear close cool coral "
    "crisp daily dear deep eager early easy exact fair fine firm first fleet fond frank free "
    "fresh full glad grand great green happy ideal jolly keen kind large light lively loyal "
    "lucid lunar mild neat noble novel open plain polar prime proud pure quick quiet rapid "
    "rare ready rosy round royal sharp shiny sober solar solid sound spare sunny super sweet "
    "swift tidy tiny vast vivid warm whole wide wise witty young"
).split()
_SECOND = (
    "acorn alder arch aspen badge barn basil bay bear birch bloom boat brook cape cedar clay "
    "cliff cloud clover coast comet cove crane creek crow dawn deer delta dove drift dune "
    "eagle elm ember fern field finch fjord flame fox frost gale glade glen goose grove gull "
    "harbor hare hawk hazel heron hill holly ibis iris isle ivy jade kite lake lark leaf "
    "lily linden lynx maple marsh mesa mint moon moss oak oat opal orbit otter owl palm "
    "peach pearl pine plum pond quail quartz rain raven reed ridge river robin rose sage "
    "sand seal shore spruce star stone storm swan thyme tide trout tulip vale wave willow "
    "wind wren"
).split()


def fresh(is_taken: Callable[[str], bool]) -> str:
    """A name that is not taken. Its own source of chance: a script's seed has no say."""
    for attempt in range(1000):
        chance = int.from_bytes(os.urandom(8), "big")
        chance, first = divmod(chance, len(_FIRST))
        chance, second = divmod(chance, len(_SECOND))
        name = f"{_FIRST[first]}-{_SECOND[second]}"
        if attempt > 20:
            name += f"-{chance % 10_000}"
        if not is_taken(name):
            return name
    raise AssertionError("BUG: a thousand names were taken")


def check(name: str, what: str = "experiment name") -> None:
    """Hold a name or a tag that the user chose to the rules.

    Raises:
        UsageError
    """
    rule = "letters, digits, '-', '_' and '.', at most 100, a letter or digit first"
    if name in _RESERVED:
        raise UsageError(f"the name {name!r} is reserved", rule)
    if not _RULE.match(_plain(name)) or len(name.encode()) > 100 or name.endswith((".lock", ".")):
        raise UsageError(f"not {'an' if what[0] in 'aeiou' else 'a'} {what}: {name[:40]!r}", rule)


def _plain(name: str) -> str:
    """The name with a letter for every emoji and other sign that needs no quotes in a shell."""
    return "".join(
        "x" if ord(c) > 0x2000 and (c in _JOINERS or (c.isprintable() and not c.isspace())) else c
        for c in name
    )
