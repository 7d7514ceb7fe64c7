"""What the user wrote, as values: dvc.yaml, params, the graph. Functions over text."""
