"""Fit a polynomial to month and temperature by least squares, with a little ridge."""

import argparse
import csv
import json
import os

parser = argparse.ArgumentParser()
parser.add_argument("source")
parser.add_argument("target")
parser.add_argument("--degree", type=int, required=True)
parser.add_argument("--ridge", type=float, default=0.0)
parser.add_argument("--center", action="store_true")
given = parser.parse_args()

with open(given.source, newline="") as file:
    rows = [(float(row["month"]), float(row["celsius"])) for row in csv.DictReader(file)]
middle = 6.5 if given.center else 0.0
xs = [[((month - middle) / 6) ** power for power in range(given.degree + 1)] for month, _ in rows]
ys = [celsius for _, celsius in rows]

# The normal equations, solved by elimination; the last column is the right-hand side.
size = given.degree + 1
table = [
    [sum(x[i] * x[j] for x in xs) + given.ridge * (i == j) for j in range(size)]
    + [sum(x[i] * y for x, y in zip(xs, ys, strict=True))]
    for i in range(size)
]
for i in range(size):
    pivot = max(range(i, size), key=lambda row: abs(table[row][i]))
    table[i], table[pivot] = table[pivot], table[i]
    for row in range(size):
        if row != i:
            factor = table[row][i] / table[i][i]
            table[row] = [a - factor * b for a, b in zip(table[row], table[i], strict=True)]
weights = [table[i][size] / table[i][i] for i in range(size)]

errors = [
    sum(w * v for w, v in zip(weights, x, strict=True)) - y for x, y in zip(xs, ys, strict=True)
]
rmse = (sum(error * error for error in errors) / len(errors)) ** 0.5
os.makedirs(os.path.dirname(given.target), exist_ok=True)
with open(given.target, "w") as file:
    json.dump({"degree": given.degree, "rmse": round(rmse, 4)}, file)
