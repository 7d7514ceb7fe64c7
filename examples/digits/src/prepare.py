"""Split scikit-learn's 1,797 scanned digits into a training and a test set."""

from pathlib import Path

import numpy as np
import yaml
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

params = yaml.safe_load(Path("params.yaml").read_text())["prepare"]

digits = load_digits()
train_x, test_x, train_y, test_y = train_test_split(
    digits.data, digits.target, test_size=params["test_share"], random_state=params["seed"]
)

Path("data").mkdir(exist_ok=True)
np.savez("data/train.npz", x=train_x, y=train_y)
np.savez("data/test.npz", x=test_x, y=test_y)
print(f"{len(train_x)} images to learn from, {len(test_x)} to test with")
