"""Choose the fit of each city whose error and degree together cost least."""

import json
import os
import sys
import tomllib

folder, target = sys.argv[1:]
with open("config.toml", "rb") as file:
    penalty = tomllib.load(file)["best"]["penalty"]
best = {}
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name)) as file:
        fit = json.load(file)
    city = name.split("-")[0]
    cost = fit["rmse"] + penalty * fit["degree"]
    if city not in best or cost < best[city]["cost"]:
        best[city] = {"degree": fit["degree"], "rmse": fit["rmse"], "cost": round(cost, 4)}
with open(target, "w") as file:
    json.dump(best, file, indent=2)
