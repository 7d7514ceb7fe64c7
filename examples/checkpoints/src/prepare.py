"""Split scikit-learn's 1,797 scanned digits into a training and a test set."""

import numpy as np
import yaml
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

with open("params.yaml") as file:
    seed = yaml.safe_load(file)["seed"]
digits = load_digits()
train_x, test_x, train_y, test_y = train_test_split(
    digits.data / 16, digits.target, test_size=0.3, random_state=seed
)
np.savez("data.npz", train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y)
print(f"{len(train_x)} images to learn from, {len(test_x)} to test with")
