"""Bytes, trees, records, refs and locks on disk: a content-addressed store in a folder.

It knows nothing of stages, experiments, YAML or command lines. The format and what must hold at
every instant are written down in docs/design/store.md.
"""
