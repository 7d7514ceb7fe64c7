"""Measure the model on the test images; write metrics and each prediction."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

test = np.load("data/test.npz")
model = pickle.loads(Path("model.pkl").read_bytes())
predicted = model.predict(test["x"])

metrics = {
    "accuracy": round(float(accuracy_score(test["y"], predicted)), 4),
    "f1": round(float(f1_score(test["y"], predicted, average="macro")), 4),
    "errors": int((predicted != test["y"]).sum()),
}
Path("metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")

with open("predictions.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["actual", "predicted"])
    writer.writerows(zip(test["y"].tolist(), predicted.tolist(), strict=True))
print(metrics)
