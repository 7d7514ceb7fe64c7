"""Train a network with one hidden layer by gradient descent with momentum.

It goes on from model.npz: weights, momentum, the epoch and the state of the random numbers. So a
run that was interrupted ends with the very same model as one that was not.
"""

import json
import os
import signal

import numpy as np
import yaml

from dodo_exp import make_checkpoint

with open("params.yaml") as file:
    params = yaml.safe_load(file)["train"]
data = np.load("data.npz")
x, y = data["train_x"], np.eye(10)[data["train_y"]]
random = np.random.default_rng(0)


def begin():
    """A network that knows nothing."""
    sizes = [(x.shape[1], params["hidden"]), (params["hidden"],), (params["hidden"], 10), (10,)]
    weights = [random.normal(0, 0.1, size) if len(size) == 2 else np.zeros(size) for size in sizes]
    return 0, weights, [np.zeros_like(each) for each in weights]


def load():
    """The network as the last checkpoint has it."""
    saved = np.load("model.npz")
    random.bit_generator.state = json.loads(str(saved["random"]))
    return int(saved["epoch"]), *([saved[f"{kind}{i}"] for i in range(4)] for kind in "wv")


def save(epoch, weights, speeds):
    """All that is needed to go on."""
    arrays = {f"w{i}": each for i, each in enumerate(weights)}
    arrays |= {f"v{i}": each for i, each in enumerate(speeds)}
    state = json.dumps(random.bit_generator.state)
    np.savez("model.npz", epoch=epoch, random=state, **arrays)


def forward(weights, inputs):
    """The hidden layer, and a probability for each digit."""
    hidden = np.maximum(inputs @ weights[0] + weights[1], 0)
    scores = hidden @ weights[2] + weights[3]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, scores / scores.sum(axis=1, keepdims=True)


def learn(weights, speeds):
    """One pass over the images, in a random order."""
    order = random.permutation(len(x))
    for start in range(0, len(x), params["batch"]):
        batch = order[start : start + params["batch"]]
        hidden, guess = forward(weights, x[batch])
        error = (guess - y[batch]) / len(batch)
        back = (error @ weights[2].T) * (hidden > 0)
        slopes = [x[batch].T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
        for weight, speed, slope in zip(weights, speeds, slopes, strict=True):
            speed *= params["momentum"]
            speed -= params["rate"] * slope
            weight += speed


epoch, weights, speeds = load() if os.path.exists("model.npz") else begin()
if epoch == 0:
    with open("curve.csv", "w") as file:
        file.write("epoch,loss,accuracy\n")
while epoch < params["epochs"]:
    if os.environ.get("DIE_AT") == str(epoch):
        os.kill(os.getpid(), signal.SIGKILL)  # for the demo: as if the machine had gone
    learn(weights, speeds)
    epoch += 1
    _, guess = forward(weights, x)
    loss = float(-np.log((guess * y).sum(axis=1)).mean())
    accuracy = float((guess.argmax(axis=1) == y.argmax(axis=1)).mean())
    with open("training.json", "w") as file:
        json.dump({"epoch": epoch, "loss": round(loss, 5), "accuracy": round(accuracy, 4)}, file)
    with open("curve.csv", "a") as file:
        file.write(f"{epoch},{loss:.6f},{accuracy:.6f}\n")
    save(epoch, weights, speeds)
    make_checkpoint()
