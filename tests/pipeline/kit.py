"""What tests of the pipeline floor share."""

from __future__ import annotations

from typing import Any

from dodo_exp.errors import Faults
from dodo_exp.pipeline import dvcyaml
from dodo_exp.pipeline.expand import expand
from dodo_exp.pipeline.model import PipelineFile
from dodo_exp.pipeline.template import Arguments


class Folder:
    """A folder with these params files and names, as a dvc.yaml sees it."""

    def __init__(
        self,
        params: dict[str, dict[Any, Any]] | None = None,
        names: list[str] | None = None,
        arguments: Arguments | None = None,
    ) -> None:
        self._params = params or {}
        self._names = names or []
        self._arguments = arguments or Arguments()

    def params(self, path: str) -> dict[Any, Any] | None:
        return self._params.get(path)

    def inside(self, path: str) -> str:
        return path

    def full(self, path: str) -> str:
        return path

    def glob(self, folder: str, pattern: str) -> list[str]:
        return self._names

    def arguments(self) -> Arguments:
        return self._arguments


def compiled(text: str, file: str = "dvc.yaml", folder: Folder | None = None) -> PipelineFile:
    """The stages of a dvc.yaml; raises what is wrong with it."""
    faults = Faults()
    made = expand(dvcyaml.parse(text, file, faults), folder or Folder(), faults)
    faults.tell()
    return made
