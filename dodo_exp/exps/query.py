"""Query: the words of `--filter`, as a question to each row of a table.

    query      = either ("or" either)*
    either     = both ("and" both)*
    both       = "not" both | "(" query ")" | comparison
    comparison = value (("==" | "=" | "is" | "!=" | "is not" | "<" | "<=" | ">" | ">=" | "=~" | "!~"
                         | "in" | "not in") value)*
    value      = column | number | duration | size | text | date | true | false | null
               | "(" value, ... ")"

A column that a row does not have is null. Null is equal to null alone, and neither more nor less
than anything; nor is text compared with numbers. Comparisons stand in a row as in mathematics:
`0.1 <= lr < 0.5`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from contextlib import suppress

from dodo_exp import units
from dodo_exp.errors import UsageError
from dodo_exp.exps.table import Line
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.exps.columns import Find, Get

Ask = Callable[[Line], bool]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<date>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?![\w.])
    | (?P<number>[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    | (?P<amount>[+-]?(?:(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)[A-Za-z]++)++)(?![\w.])
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | `(?P<quoted>[^`]+)`
    | (?P<sign>=~|!~|==|!=|<=|>=|<|>|=|\(|\)|\[|\]|,|&&|\|\||!)
    | (?P<word>[^\W\d][\w./@\-]*(?::[\w./"\-]+)?)
    )""",
    re.X,
)
WORDS = {"and", "or", "not", "in", "is"}
SAME = {"&&": "and", "||": "or", "!": "not", "=": "==", "[": "(", "]": ")"}
CONSTANTS = {"true": True, "false": False, "null": None, "none": None, "nan": math.nan}
COMPARED = ("==", "!=", "<", "<=", ">", ">=", "=~", "!~", "in")
DEEPEST = 50
MOST_DIGITS = 400
MOST_TEXT = 10_000
"""Characters of a value that a pattern is tried on."""


def is_word(text: str) -> bool:
    """Whether a query takes the text as it is for the name of a column."""
    match = _TOKEN.fullmatch(text)
    is_name = match is not None and match.lastgroup == "word" and text.strip() == text
    return is_name and text.lower() not in WORDS and text.lower() not in CONSTANTS


def in_query(name: str) -> str:
    """A column's name as a query reads it: between backquotes, unless it is a plain word."""
    return name if is_word(name) else f"`{name}`"


class _Constant:
    """A value that is the same in every row."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, line: Line) -> Any:
        """The value."""
        return self.value


class Token(Named):
    """A piece of the query: `kind` is value, name or sign; `at` is where it begins."""

    kind: str
    value: Any
    at: int


def compile(text: str, find: Find) -> Ask:
    """The question that a query asks.

    Raises:
        UsageError: with the place of what is wrong.
    """
    return _Parser(text, find).whole() if text.strip() else lambda line: True


class _Parser:
    def __init__(self, text: str, find: Find) -> None:
        self._text = text
        self._find = find
        self._tokens = list(self._split())
        self._next = 0
        self._depth = 0

    def _split(self) -> list[Token]:
        found = []
        at, end = 0, len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if match is None:
                blank = len(self._text[at:]) - len(self._text[at:].lstrip())
                raise self._fault("not understood", at + blank)
            begins = match.start(match.lastgroup or 0)
            found.append(self._token(match, begins))
            at = match.end()
        return found

    def _token(self, match: re.Match[str], at: int) -> Token:
        kind = match.lastgroup
        if match["number"] is not None:
            digits, at = match["number"], match.start("number")
            if len(digits) > MOST_DIGITS:
                raise self._fault("a number too long", at)
            digits = digits.replace("_", "")
            value = float(digits) if any(c in digits for c in ".eE") else int(digits)
            return Token("value", value, at)
        if kind == "amount":
            return Token("value", self._amount(match["amount"], at), at)
        if kind == "date":
            seconds = moment(match["date"])
            if seconds is None:
                raise self._fault("no such date", at)
            return Token("value", seconds, at)
        if kind == "text":
            return Token("value", re.sub(r"\\(.)", r"\1", match["text"][1:-1]), at)
        if kind == "quoted":
            return Token("name", match["quoted"], at)
        word = match[kind or 0]
        if kind == "word" and word.lower() not in WORDS:
            if word.lower() in CONSTANTS:
                return Token("value", CONSTANTS[word.lower()], at)
            return Token("name", word, at)
        return Token("sign", SAME.get(word, word.lower()), at)

    def _amount(self, text: str, at: int) -> float:
        """A duration in seconds, or a size in bytes."""
        sign = -1 if text[0] == "-" else 1
        text = text.lstrip("+-").replace("_", "")
        for parse in (units.parse_duration, units.parse_size):
            with suppress(ValueError):
                found = parse(text)
                return sign * (int(found) if found.is_integer() else found)
        fault = self._fault("neither a duration nor a size", at)
        fault.hint = f"{units.DURATIONS}; {units.SIZES}"
        raise fault

    def _fault(self, what: str, at: int) -> UsageError:
        rest = self._text[at:].strip()
        where = f"at {rest[:20]!r}" if rest else "at its end"
        hint = "for example: --filter 'acc > 0.9 and train.lr < 0.1'"
        return UsageError(f"--filter: {what} {where}", hint)

    def _no_column(self, at: int, *constants: Any) -> UsageError:
        """The fault of comparing nothing but constants, which is the same for every row."""
        texts = [each for each in constants if isinstance(each, str)]
        # "k.d" in quotes may be the column k.d, or the one whose own name has quotes.
        names = [name for text in texts for name in (text, f'"{text}"') if self._is_column(name)]
        error = self._fault("no column to compare", at)
        if names:
            error.hint = f"between backquotes it is a column: `{names[0]}`"
        elif texts:
            error.hint = f"quotes are for values, backquotes for columns: `{texts[0]}`"
        return error

    def _is_column(self, name: str) -> bool:
        try:
            self._find(name)
        except UsageError:
            return False
        return True

    def _sign(self) -> str:
        """The sign that comes next, "" for something else."""
        token = self._tokens[self._next] if self._next < len(self._tokens) else None
        return token.value if token is not None and token.kind == "sign" else ""

    def _take(self, *signs: str) -> str:
        sign = self._sign()
        if sign and sign in signs:
            self._next += 1
            return sign
        return ""

    def _at(self) -> int:
        more = self._next < len(self._tokens)
        return self._tokens[self._next].at if more else len(self._text)

    def whole(self) -> Ask:
        """The whole text."""
        made = self._either()
        if self._next < len(self._tokens):
            raise self._fault("'and' or 'or' expected", self._at())
        return made

    def _either(self) -> Ask:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._fault("too deeply nested", self._at())
        made = [self._both()]
        while self._take("or"):
            made.append(self._both())
        self._depth -= 1
        return made[0] if len(made) == 1 else lambda line: any(ask(line) for ask in made)

    def _both(self) -> Ask:
        made = [self._one()]
        while self._take("and"):
            made.append(self._one())
        return made[0] if len(made) == 1 else lambda line: all(ask(line) for ask in made)

    def _one(self) -> Ask:
        turns = 0
        while self._take("not"):
            turns += 1
        made = self._grouped() or self._comparison()
        return (lambda line: not made(line)) if turns % 2 else made

    def _grouped(self) -> Ask | None:
        """A query in parentheses; None where they hold values to choose from, or are none."""
        if self._sign() != "(":
            return None
        start = self._next
        self._next += 1
        made = self._either()
        if not self._take(")"):
            raise self._fault("')' expected", self._at())
        if self._sign() in (*COMPARED, "is", "not"):
            self._next = start
            return None
        return made

    def _comparison(self) -> Ask:
        at = self._at()
        left = self._value(is_first=True)
        steps: list[tuple[str, Get, Get]] = []
        while sign := self._compared():
            right = self._value(is_first=left is None)
            both = [each.value for each in (left, right) if isinstance(each, _Constant)]
            if len(both) == 2 and both != [None, None]:
                raise self._no_column(at, *both)
            if sign in ("=~", "!~"):
                self._check_pattern(right)
            steps.append((sign, left, right))
            left = right
        if not steps:
            alone = left
            if isinstance(alone, _Constant) and isinstance(alone.value, str):
                raise self._no_column(at, alone.value)
            return lambda line: bool(alone(line))
        tests = [_test(*step) for step in steps]
        return tests[0] if len(tests) == 1 else lambda line: all(test(line) for test in tests)

    def _compared(self) -> str:
        """The comparison that comes next; `is`, `is not` and `not in` are words for others."""
        if self._take("is"):
            return "!=" if self._take("not") else "=="
        after = self._tokens[self._next + 1 : self._next + 2]
        if self._sign() == "not" and after and after[0][:2] == ("sign", "in"):
            self._next += 2
            return "not in"
        return self._take(*COMPARED)

    def _check_pattern(self, pattern: Get) -> None:
        try:
            re.compile(pattern(None))  # type: ignore[arg-type]
        except (re.error, TypeError, AttributeError, OverflowError, RecursionError):
            at = self._tokens[self._next - 1].at
            raise self._fault("a regular expression expected", at) from None

    def _value(self, *, is_first: bool) -> Get:
        if self._take("("):
            return self._several()
        if self._next >= len(self._tokens) or self._sign():
            raise self._fault("a column or a value expected", self._at())
        token = self._tokens[self._next]
        self._next += 1
        if token.kind == "value":
            return _Constant(token.value)
        if not is_first:  # `model == resnet`: a word that is no column stands for itself
            try:
                return self._find(token.value)
            except UsageError:
                return _Constant(token.value)
        return self._find(token.value)

    def _several(self) -> Get:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._fault("too deeply nested", self._at())
        values = [self._value(is_first=False)]
        while self._take(","):
            if self._sign() == ")":
                break
            values.append(self._value(is_first=False))
        if not self._take(")"):
            raise self._fault("')' expected", self._at())
        if all(isinstance(value, _Constant) for value in values):
            return _Constant([value(None) for value in values])  # type: ignore[arg-type]
        return lambda line: [value(line) for value in values]


def moment(text: str) -> float | None:
    """A date, with or without a time of day, as seconds since the epoch; None for none."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _test(sign: str, left: Get, right: Get) -> Ask:
    if sign in ("==", "!="):
        wanted = sign == "=="
        return lambda line: _is_equal(left(line), right(line)) is wanted
    if sign in ("in", "not in"):
        inside = sign == "in"
        return lambda line: _is_in(left(line), right(line)) is inside
    if sign in ("=~", "!~"):
        matches = sign == "=~"
        return lambda line: _has(left(line), right(line)) is matches
    compare = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[sign]
    return lambda line: _is_ordered(compare, left(line), right(line))


def _is_equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return bool(left == right)


def _is_in(left: Any, right: Any) -> bool:
    if isinstance(right, list | tuple):
        return any(_is_equal(left, each) for each in right)
    return isinstance(left, str) and isinstance(right, str) and left in right


def _has(left: Any, pattern: Any) -> bool:
    texts = left if isinstance(left, list | tuple) else [left]
    return any(isinstance(t, str) and re.search(pattern, t[:MOST_TEXT]) is not None for t in texts)


def _is_ordered(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return compare(left, right)
    numbers = (int, float)
    return isinstance(left, numbers) and isinstance(right, numbers) and compare(left, right)
