"""Texts: params files with a slip in them, and what may stand behind `-S`, made up at random."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

YAML = [
    "a: 1\nb: [x, 'y', \"z\", 1e-3, {k: v}]\nc:\n  - p\n  - q: r\n    s: t\n# c\nd: &x {m: ~}\n"
    "e: *x\nf: |\n  text\n  more\ng: >-\n  fold\n  ed\n",
    "a:\n- 1\n- 2.5\n-\nb: {x: 1, y: [2, 3]}\n? k\n: v\nm: &m\n  n: 1\no:\n  <<: *m\n  p: 'q'''\n",
    '%YAML 1.2\n---\nx: !!str 5\ny: "a\\tb\\x41\\u00e9"\nz: a b c\n  d e\n...\n',
    "- a\n- b: c\n  d:\n    - e\n    -\n      f: g\n- 'h\n  i'\n- \"j\\\n  k\"\n",
]
JSON = [
    '{"a": 1, "b": [1.5, true, null, "x\\n\\u00e9"], "c": {"d": {}}}',
    '{"a": -1e5, "b": NaN, "c": [[], [0]], "k": -Infinity}\n',
]
TOML = [
    'a = 1\nb = "x\\n"\nc = [1, 2.5, "3",\n true] # c\n[t.u]\nd = {e = 1, f.g = -0.5}\n[[v]]\n'
    "w = '''x\ny'''\n[[v]]\nw = 0x1F\n",
    'a.b = 1\n"c d" = 1e5\n\'e\' = inf\nf = """\n  q \\\n  r"""\n[g]\nh = [[1], ["x"]]\n[g.i]\n'
    "j = 1_000\nk = +1.0\n",
    "d = 2024-01-02\nt = 07:32:00\ndt = 2024-01-02T07:32:00-07:00\nl = 2024-01-02 07:32:00.5\n",
]
PYTHON = [
    'import os\nA = 1\nB: float = 2.5\nC = [1, "x", (2, 3)]\nD = {"a": 1, "b": {"c": None}}\n'
    "class E:\n    f = True\n    def __init__(self, x=1):\n        self.g = -1\n        h = 2\n"
    "    class I:\n        j = {1, 2}\n",
    'A = B = 1\nC, D = 1, 2\nE = f"x"\nF = 10 ** 2\nG = "a" "b"\nH = 1_000\nI = 0x1F + 1j\n'
    "def f():\n    J = 1\nif True:\n    K = 1\nL = -(-3)\nM += 1\nself.n = [*A]\n",
]
CHARACTERS = "\n\t :-#,[](){}&*|>'\"%@`=.~?\\/_+exntE019Aself;é\u00a0"


@st.composite
def edited(draw: Any, samples: list[str]) -> str:
    """One of the samples, with up to three characters changed."""
    text: str = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(0, 3))):
        i = draw(st.integers(0, len(text)))
        put, cut = draw(st.sampled_from([(1, 0), (0, 1), (1, 1)]))
        text = text[:i] + draw(st.sampled_from(CHARACTERS)) * put + text[i + cut :]
    return text


# -- overrides -----------------------------------------------------------------------------

ATOMS = (
    "1 -1 +1 1_000 010 0x1F 1.5 .5 5. 1e-5 -1.5E+3 1e5 inf -inf nan NaN true FALSE null Null none"
    " yes on adam a-b a_b a/b.c a.b x:y https://h/p?q %x x@y *z ? | 2024-01-02 'q' \"r\" 'it\\'s'"
    " \"a,b\" '' 'a\\\\' \\, \\\\ \\[ \\: ${b.c} x${b}y [] {} - . _ $x 1x x1 1.2.3 1e 1_"
    " true1 nullx -x"
).split()
WORDS = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=2).map(" ".join)
"""A word, or two that are one text; with a quoted one among them DVC and we may differ."""
ELEMENTS = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(WORDS, inner), max_size=2).map(
            lambda pairs: "{" + ",".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
        st.tuples(st.sampled_from(["int", "float", "str", "bool"]), inner).map(
            lambda call: f"{call[0]}({call[1]})"
        ),
    ),
    max_leaves=4,
)
SWEEPS = st.one_of(
    st.lists(ELEMENTS, min_size=2, max_size=3).map(",".join),
    st.tuples(st.sampled_from(["choice", "sort"]), st.lists(WORDS, min_size=1, max_size=3)).map(
        lambda call: f"{call[0]}({', '.join(call[1])})"
    ),
    st.sampled_from(
        "range(3) range(1,4) range(1,10,3) range(0.5,2,0.5) range(5,1,-2) range(start=1,stop=4)"
        " range(stop=3) range(1.0,4) range(x,1) range(1,2,0) sort(3,1,2,reverse=true)"
        " sort([b,a]) sort(choice(b,a)) str(choice(1,2)) float(range(1,3)) tag(t,choice(a,b))"
        " choice(a,range(3)) choice(range(1,3)) range(3),x choice(a,b),c interval(0,1)".split()
    ),
)
KEYS = "a a.b.c a-b a_b a.0 a/b $a a@b a1 1a 1 a[0] a..b .a a. é _a a$".split()


@st.composite
def overrides(draw: Any) -> str:
    """One `key=value`."""
    key: str = draw(st.sampled_from(["a", "a.b"]) | st.sampled_from(KEYS))
    sign: str = draw(st.sampled_from(["", "", "", "+", "++", "~"]))
    if sign == "~" and draw(st.booleans()):
        return sign + key
    return f"{sign}{key}={draw(ELEMENTS if sign == '~' else ELEMENTS | SWEEPS)}"
