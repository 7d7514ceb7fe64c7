"""Fit a support vector classifier to the training images."""

import pickle
from pathlib import Path

import numpy as np
import yaml
from sklearn.svm import SVC

params = yaml.safe_load(Path("params.yaml").read_text())["train"]
train = np.load("data/train.npz")

model = SVC(gamma=params["gamma"], C=params["c"])
model.fit(train["x"], train["y"])

Path("model.pkl").write_bytes(pickle.dumps(model))
print(f"{model.n_support_.sum()} support vectors")
