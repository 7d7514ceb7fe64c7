"""One pipeline in one folder: fingerprint, decide, run or restore."""
