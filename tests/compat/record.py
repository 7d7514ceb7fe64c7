"""Record anew what DVC answers to every case: `DODO_ORACLE=... python -m tests.compat.record`.

The files of cases are rewritten in one form: comments at their head stay, others do not.
"""

from __future__ import annotations

import os
import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, ScalarNode

from tests.compat import goldens
from tests.compat.asking import ORACLE, Oracle

WIDTH = 88
ORDER = "case op config files file text keys overrides dvc differs ours".split()


class _Dumper(yaml.SafeDumper):
    """Text of several lines as such, small lists and mappings on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> ScalarNode:
    style = "|" if "\n" in text and not text.endswith("\n\n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def write(file: Path, found: list[goldens.Case]) -> None:
    """Write a file of cases."""
    head = [line for line in file.read_text().splitlines() if line.startswith("#")]
    root = _Dumper(StringIO(), sort_keys=False).represent_data(found)
    _shape(root)
    for node in (root, *root.value):
        node.flow_style = False
    text: str = yaml.serialize(root, Dumper=_Dumper, width=100, allow_unicode=True)
    file.write_text("\n".join(head) + "\n" + re.sub("^- case:", "\n- case:", text, flags=re.M))


def _shape(node: Any) -> int:
    """Decide what goes on one line; answers how long that would be, or more than fits."""
    if isinstance(node, ScalarNode):
        return 999 if node.style == "|" else len(node.value) + 2
    inner = (
        [x for pair in node.value for x in pair] if isinstance(node, MappingNode) else node.value
    )
    length = 4 + sum(_shape(each) + 2 for each in inner)
    node.flow_style = length <= WIDTH
    return length


def main() -> None:
    """Ask DVC and rewrite every file, or those named."""
    oracle = Oracle(os.environ[ORACLE])
    try:
        for file in goldens.files():
            if len(sys.argv) > 1 and file.stem not in sys.argv[1:]:
                continue
            found = goldens.read(file)
            for case in found:
                case["dvc"] = oracle.ask(goldens.request(case))
            write(file, [{key: case[key] for key in ORDER if key in case} for case in found])
            print(f"{file.name}: {len(found)} cases")
    finally:
        oracle.close()


if __name__ == "__main__":
    main()
