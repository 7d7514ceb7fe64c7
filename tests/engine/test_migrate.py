"""A project that DVC has run: what its dvc.lock vouches for is taken over and not run again."""

from __future__ import annotations

import pytest

from tests.space import Space

PIPELINE = """\
stages:
  prep:
    cmd: mkdir -p d/b && cat raw.txt > d/x.txt && echo 1 > d/b/y.txt && echo 2 > d/b.txt
    deps: [raw.txt]
    outs: [d]
  train:
    cmd: |
      cat d/x.txt > m.txt
      echo '{"a": 1}' > m.json
    deps: [d]
    params: [lr, p.json: ]
    outs: [m.txt]
    metrics: [m.json: {cache: false}]
"""
LOCK = """\
schema: '2.0'
stages:
  prep:
    cmd: mkdir -p d/b && cat raw.txt > d/x.txt && echo 1 > d/b/y.txt && echo 2 >
      d/b.txt
    deps:
    - path: raw.txt
      hash: md5
      md5: 2306b4377429730ee03a806cff76e92b
      size: 4
    outs:
    - path: d
      hash: md5
      md5: ff193c2dcb71ea2c3c05d91a5b74feb0.dir
      size: 8
      nfiles: 3
  train:
    cmd: |
      cat d/x.txt > m.txt
      echo '{"a": 1}' > m.json
    deps:
    - path: d
      hash: md5
      md5: ff193c2dcb71ea2c3c05d91a5b74feb0.dir
      size: 8
      nfiles: 3
    params:
      params.yaml:
        lr: 0.001
      p.json:
        z:
        - 1
        - 2.5
        - x
    outs:
    - path: m.json
      hash: md5
      md5: a01637863c1f9585c3e38cde6ce20940
      size: 9
    - path: m.txt
      hash: md5
      md5: 2306b4377429730ee03a806cff76e92b
      size: 4
"""
"""Written by DVC 3.67."""

FILES = {
    "dvc.yaml": PIPELINE,
    "dvc.lock": LOCK,
    "raw.txt": "raw\n",
    "params.yaml": "lr: 1e-3\n",
    "p.json": '{"z": [1, 2.5, "x"]}\n',
    "d/x.txt": "raw\n",
    "d/b/y.txt": "1\n",
    "d/b.txt": "2\n",
    "m.txt": "raw\n",
    "m.json": '{"a": 1}\n',
}


def written(space: Space) -> None:
    for path, text in FILES.items():
        space.write(path, text)


def test_what_dvc_has_run_is_not_run_again(space: Space) -> None:
    written(space)
    ran = space.repro()
    assert ran.stages == {"prep": "adopted", "train": "adopted"}
    assert "Stage 'train' is as dvc.lock says, skipping" in ran.err
    assert space.repro().stages == {"prep": "unchanged", "train": "unchanged"}
    assert space.read("dvc.lock") == LOCK


def test_what_was_taken_over_can_be_brought_back(space: Space) -> None:
    written(space)
    space.repro()
    space.remove("m.txt")
    assert space.repro().stages["train"] == "restored"
    assert space.read("m.txt") == "raw\n"


@pytest.mark.parametrize(
    "path, text, stages",
    [
        ("raw.txt", "RAW\n", {"prep": "ran", "train": "ran"}),
        ("d/b.txt", "3\n", {"prep": "ran", "train": "adopted"}),
        ("d/new.txt", "3\n", {"prep": "ran", "train": "adopted"}),
        ("params.yaml", "lr: 1\n", {"prep": "adopted", "train": "ran"}),
        ("p.json", '{"z": [1, 2.5]}', {"prep": "adopted", "train": "ran"}),
        ("m.txt", "War\n", {"prep": "adopted", "train": "ran"}),
        (
            "dvc.yaml",
            PIPELINE.replace("m.json\n", "m.json; :\n"),
            {"prep": "adopted", "train": "ran"},
        ),
        ("dvc.lock", LOCK.replace("path: d\n", "path: e\n"), {"prep": "ran", "train": "ran"}),
        ("dvc.lock", "stages: {prep: 5, train: {cmd: [1]}}", {"prep": "ran", "train": "ran"}),
        ("dvc.lock", "<<<<<<< HEAD\n", {"prep": "ran", "train": "ran"}),
    ],
)
def test_what_has_changed_since_runs(
    space: Space, path: str, text: str, stages: dict[str, str]
) -> None:
    written(space)
    space.write(path, text)
    assert space.repro().stages == stages


def test_force_runs_it_all_the_same(space: Space) -> None:
    written(space)
    assert space.repro("-f").stages == {"prep": "ran", "train": "ran"}
