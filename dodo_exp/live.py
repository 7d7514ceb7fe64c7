"""Live: log metrics, params and images from training code, in the files that DVCLive writes.

    from dodo_exp.live import Live

    with Live() as live:
        live.log_params({"lr": 0.1})
        for epoch in range(10):
            live.log_metric("train/loss", loss)
            live.next_step()

`metrics.json` has the last value of each metric, `params.yaml` the params, `plots/metrics/NAME.tsv`
each metric's history and `plots/images/NAME` the images, all in the folder `dvclive` (or *dir*).
The files are those of DVCLive 3 (https://dvc.org/doc/dvclive/how-it-works), so that either can be
put in the other's place; nothing but Python's own library is needed here.

In dvc.yaml:

    metrics: [dvclive/metrics.json: {cache: false}]
    plots: [dvclive/plots: {cache: false}]
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

Value = bool | int | float | str
STEP = "step"


class Live:
    """A log of one run. Metrics are on disk at every `next_step` and at the end."""

    def __init__(self, dir: str | os.PathLike[str] = "dvclive", *, resume: bool = False) -> None:
        """Begin a log in *dir*: what an earlier run has left there goes, unless *resume*.

        *resume* goes on after the last step that is in the folder. The environment variable
        DVCLIVE_RESUME=1 says the same.
        """
        self.dir = os.fspath(dir)
        if os.path.exists(f"{self.dir}/dvc.yaml"):
            raise ValueError(f"{self.dir!r} has a dvc.yaml: a log needs a folder of its own")
        self.summary: dict[str, Any] = {}
        self.step = 0
        self._has_step = False
        if resume or os.environ.get("DVCLIVE_RESUME", "").lower() in ("1", "true"):
            self._resume()
        else:
            for name in ("metrics", "images"):
                shutil.rmtree(f"{self.plots_dir}/{name}", ignore_errors=True)
            for path in (self.metrics_file, self.params_file):
                if os.path.lexists(path):
                    os.unlink(path)
        os.makedirs(self.dir, exist_ok=True)
        self._params = self._read_params()

    @property
    def metrics_file(self) -> str:
        """Where the last value of each metric is."""
        return f"{self.dir}/metrics.json"

    @property
    def params_file(self) -> str:
        """Where the params are."""
        return f"{self.dir}/params.yaml"

    @property
    def plots_dir(self) -> str:
        """Where histories and images are."""
        return f"{self.dir}/plots"

    def log_metric(
        self, name: str, val: Value, *, timestamp: bool = False, plot: bool = True
    ) -> None:
        """Log a metric's value at this step; *name* may have folders, as in `train/loss`.

        Raises:
            TypeError: no number, text or flag.
            ValueError: a name that leads out of the folder.
        """
        value = _scalar(name, val)
        parts = _parts(name)
        if parts[-1] == STEP:
            raise ValueError(f"{name!r}: the step is counted by next_step")
        if plot:
            path = f"{self.plots_dir}/metrics/{'/'.join(parts)}.tsv"
            row = {"timestamp": int(time.time() * 1000)} if timestamp else {}
            _append(path, {**row, STEP: self.step, parts[-1]: value})
        place = self.summary
        for part in parts[:-1]:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{name!r}: {part!r} is a metric itself")
            place = inner
        place[parts[-1]] = value

    def log_param(self, name: str, val: Any) -> None:
        """Log a param, which may be a list or a mapping."""
        self.log_params({name: val})

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log params.

        Raises:
            TypeError: a value that is neither plain nor a list or mapping of such.
        """
        plain = {str(name): _plain(str(name), value) for name, value in params.items()}
        # JSON is YAML; one entry a line keeps the file readable.
        self._params |= {_key(k): f"{_key(k)}: {_yaml(v)}\n" for k, v in plain.items()}
        _replace(self.params_file, "".join(self._params.values()))

    def log_image(self, name: str, val: Any) -> None:
        """Log an image: the path of a file, a figure with `savefig`, an image with `save`, or an
        array of numbers (height x width [x 3 or 4], 0 to 255, or 0 to 1) if Pillow is there.

        Raises:
            TypeError: none of these.
        """
        path = f"{self.plots_dir}/images/{'/'.join(_parts(name))}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(val, str | os.PathLike):
            shutil.copyfile(val, path)
        elif hasattr(val, "savefig"):
            val.savefig(path)
        elif hasattr(val, "save"):
            val.save(path)
        elif hasattr(val, "__array__"):
            _image_of(val).save(path)
        else:
            raise TypeError(f"{name!r}: {type(val).__name__} is no image")

    def next_step(self) -> None:
        """Write the metrics, and go on to the next step."""
        self._has_step = True
        self.make_summary()
        self.step += 1

    def make_summary(self) -> None:
        """Write the last value of each metric."""
        data = {**({STEP: self.step} if self._has_step or self.step else {}), **self.summary}
        _replace(self.metrics_file, json.dumps(data, indent=2) + "\n")

    def end(self) -> None:
        """Write what is not written yet."""
        if self._has_step and self.step:
            # `next_step` was the last thing: the step that the metrics are of is the one before.
            data = self._on_disk()
            if all(data.get(key) == value for key, value in self.summary.items()):
                return
        if self.summary:
            self.make_summary()

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def _on_disk(self) -> dict[str, Any]:
        try:
            with open(self.metrics_file, encoding="utf-8") as file:
                data = json.load(file)
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def _resume(self) -> None:
        self.summary = self._on_disk()
        step = self.summary.pop(STEP, None)
        if isinstance(step, int):
            self._has_step = True
            self.step = step + 1

    def _read_params(self) -> dict[str, str]:
        """The entries of the run that is resumed, as they stand in the file."""
        try:
            with open(self.params_file, encoding="utf-8") as file:
                lines = file.readlines()
        except OSError:
            return {}
        found: dict[str, str] = {}
        key = ""
        for line in lines:
            if line[:1] not in (" ", "-", "#", "\n"):  # else it belongs to the entry before
                key = re.match(r'"(?:[^"\\]|\\.)*"|[^:]*', line)[0]  # type: ignore[index]
            found[key] = found.get(key, "") + line.rstrip("\n") + "\n"
        return found


def _parts(name: str) -> list[str]:
    """Raises: ValueError"""
    parts = name.replace(os.sep, "/").split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\0" in name:
        raise ValueError(f"no name for a metric or an image: {name!r}")
    return parts


def of_array(value: Any) -> Any:
    """A number or an array of NumPy, or a tensor, as Python's own; any other value as it is.

    NumPy's float64 is a float, too, but its repr is no number.
    """
    to_list = getattr(value, "tolist", None)
    if not callable(to_list) or isinstance(value, type):
        return value
    try:
        return to_list()
    except (TypeError, ValueError, RuntimeError):  # such as a tensor without values
        return value


def _scalar(name: str, value: Any) -> Value:
    """A plain value; a number of NumPy's or an array of one, too.

    Raises:
        TypeError
    """
    found = of_array(value)
    while found is not value and isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, bool | int | float | str):
        return found
    what = f"an array of shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
    raise TypeError(f"metric {name!r}: {what} is no number, text or flag")


def _plain(name: str, value: Any) -> Any:
    """Raises: TypeError"""
    value = of_array(value)
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(name, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(name, inner) for inner in value]
    try:
        return _scalar(name, value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"param {name!r}: {kind} is no plain value") from None


_PLAIN = re.compile(r"[A-Za-z_][\w./-]*\Z", re.ASCII)


def _key(name: str) -> str:
    """A key of YAML: quoted where some reader could take it for something else."""
    is_word = name.lower() in ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
    return name if _PLAIN.match(name) and not is_word else json.dumps(name)


def _yaml(value: Any) -> str:
    """A value on one line of YAML: JSON, but for what JSON has no word for."""
    if isinstance(value, float):
        if math.isnan(value):
            return ".nan"
        if math.isinf(value):
            return ".inf" if value > 0 else "-.inf"
        text = repr(value)
        # Both YAML 1.1 and 1.2 read 1.0e-05 as a number; 1e-05 is text to the older.
        head, e, tail = text.partition("e")
        return (
            f"{head}.0e{tail if tail[0] in '+-' else '+' + tail}" if e and "." not in head else text
        )
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return json.dumps(value)


def _append(path: str, row: dict[str, Any]) -> None:
    """One more row of a table, at once on disk for whoever looks on."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a", encoding="utf-8", newline="") as file:
        head = "" if file.tell() else "\t".join(row) + "\n"
        cells = (str(value).translate({9: " ", 10: " ", 13: " "}) for value in row.values())
        file.write(head + "\t".join(cells) + "\n")


def _replace(path: str, text: str) -> None:
    """The file whole or not at all: somebody may be reading."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    made = f"{path}.{os.getpid()}.tmp"
    with open(made, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(made, path)


def _image_of(array: Any) -> Any:
    """Raises: ImportError, where Pillow is not there."""
    from PIL import Image

    values = array.__array__()
    if values.dtype.kind == "f":
        values = (values * 255 if values.max() <= 1 else values).clip(0, 255)
    return Image.fromarray(values.astype("uint8"))
