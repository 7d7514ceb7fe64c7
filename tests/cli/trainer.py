"""A project that trains: an epoch a step, with a record outside of every epoch that was run."""

from __future__ import annotations

import json
from typing import Any

from tests.space import Space

DVC_YAML = """\
stages:
  prepare:
    cmd: cat raw.txt > data.txt && echo prepare >> LOG
    deps: [raw.txt]
    outs: [data.txt]
  train:
    cmd: python train.py
    deps: [train.py, data.txt]
    params: [lr, epochs]
    outs:
      - model.json: {checkpoint: true}
    metrics:
      - metrics.json: {cache: false}
    plots:
      - curve.csv: {cache: false}
  evaluate:
    cmd: python evaluate.py && echo evaluate >> LOG
    deps: [evaluate.py, model.json]
    params: [digits]
    metrics:
      - scores.json: {cache: false}
"""

TRAIN = '''\
"""Goes on from model.json; FAIL_AT, SLEEP and the like say what is to go wrong."""
import json, os, signal, sys, time
from dodo_exp import make_checkpoint

params = dict(line.split(": ") for line in open("params.yaml").read().split("\\n") if line)
model = {"epoch": 0, "loss": 1.0}
if os.path.exists("model.json"):
    model = json.load(open("model.json"))
while model["epoch"] < int(params["epochs"]):
    if os.environ.get("FAIL_AT") == str(model["epoch"]):
        open("model.json", "w").write("torn")
        sys.exit(3)
    if os.environ.get("STOP_AT") == str(model["epoch"]):
        open("model.json", "w").write("torn")
        open("LOG.waiting", "w").close()
        time.sleep(60)
    time.sleep(float(os.environ.get("SLEEP", 0)))
    model = {"epoch": model["epoch"] + 1, "loss": model["loss"] * float(params["lr"])}
    json.dump(model, open("model.json", "w"))
    json.dump(model, open("metrics.json", "w"))
    with open("curve.csv", "a") as file:
        if model["epoch"] == 1:
            file.write("epoch,loss\\n")
        file.write(f"{model['epoch']},{model['loss']}\\n")
    with open("LOG", "a") as file:
        file.write(f"epoch-{model['epoch']}\\n")
    if not os.environ.get("SILENT"):
        print("kept", make_checkpoint())
'''

EVALUATE = """\
import json
model = json.load(open("model.json"))
digits = int(open("params.yaml").read().split("digits: ")[1].split()[0])
json.dump({"accuracy": round(1 - model["loss"], digits)}, open("scores.json", "w"))
"""


def build(space: Space, epochs: int = 10) -> None:
    """Write it: prepare -> train -> evaluate."""
    log = str(space.base / "runs.log")
    space.write("dvc.yaml", DVC_YAML.replace("LOG", log))
    space.write("train.py", TRAIN.replace("LOG", log))
    space.write("evaluate.py", EVALUATE)
    space.write("params.yaml", f"lr: 0.5\nepochs: {epochs}\ndigits: 6\n")
    space.write("raw.txt", "raw\n")


def epochs(space: Space) -> list[int]:
    """The epochs that were run, wherever, in order."""
    return [int(word[6:]) for word in space.runs if word.startswith("epoch-")]


def model(space: Space) -> Any:
    """What model.json holds."""
    return json.loads(space.read("model.json"))


def curve(space: Space, name: str | None = None) -> list[int]:
    """The epochs in curve.csv, of the workspace or of an experiment."""
    text = (
        space.read("curve.csv")
        if name is None
        else space.dodo("store", "cat", f"{name}:curve.csv").out
    )
    return [int(line.split(",")[0]) for line in text.split()[1:]]


def steps(space: Space, name: str) -> list[str]:
    """Names of an experiment's rows: itself and the steps below it."""
    for each in space.dodo("exp", "show", "--json").json[1]["experiments"] or []:
        if each["name"] == name:
            return [rev["name"] for rev in each["revs"]]
    return []


def at_step(space: Space, text: str) -> Any:
    """The model that an experiment or a step has."""
    return json.loads(space.dodo("store", "cat", f"{text}:model.json").out)
