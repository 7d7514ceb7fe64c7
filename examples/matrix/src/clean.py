"""Keep the rows of a CSV file that have a temperature."""

import csv
import os
import sys

source, target = sys.argv[1:]
os.makedirs(os.path.dirname(target), exist_ok=True)
with open(source, newline="") as rows, open(target, "w", newline="") as out:
    writer = csv.writer(out)
    writer.writerows(row for row in csv.reader(rows) if row[1])
