"""Elsewhere: dependencies that are no files of this machine: URLs, and datasets by name.

What is compared is what the other side says of the content without sending it: a web server's ETag,
an object store's checksum. Nothing is downloaded. `ds://name` is compared by the dataset's entry in
dvc.yaml, and in dvc.lock where DVC keeps the version that it has frozen.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

from dodo_exp.errors import BadInput, Failure, did_you_mean
from dodo_exp.pipeline.values import canonical
from dodo_store.oid import of_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from http.client import HTTPResponse
    from typing import Any

    from dodo_exp.engine.workspace import Workspace
    from dodo_store.oid import Oid

SECONDS = 20
"""How long a server may take to answer."""
DVC_CONFIG = (".dvc/config", ".dvc/config.local")
VALIDATORS = ("ETag", "etag", "md5", "md5Hash", "checksum", "generation", "version_id", "crc32c")
"""Names under which file systems say what a file's content is, the surest first."""


def is_elsewhere(path: str) -> bool:
    """Whether a dependency is no path of this machine."""
    return "://" in path


def digest(workspace: Workspace, url: str) -> Oid | None:
    """A name for the content that *url* has now; None where there is nothing.

    Raises:
        BadInput: a dataset or a remote of no known name.
        Failure: the other side does not answer, or says nothing of its content.
    """
    kind = urlsplit(url).scheme.lower()
    if kind == "ds":
        return _dataset(workspace, url.partition("://")[2])
    if kind == "remote":
        return _at(workspace, _remote(workspace, url))
    return _at(workspace, url)


def _at(workspace: Workspace, url: str) -> Oid | None:
    kind = urlsplit(url).scheme.lower()
    if kind in ("", "file"):
        return workspace.digest(url.removeprefix("file://"))
    facts = _web(url) if kind in ("http", "https") else _file_system(url)
    return None if facts is None else of_bytes(canonical([url, facts]).encode())


def shown(url: str) -> str:
    """The URL without a user's name and password."""
    return re.sub(r"://[^/@]*@", "://", url)


# -- the web -------------------------------------------------------------------------------


def _web(url: str) -> dict[str, Any] | None:
    """What a web server says of its content."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    try:
        with _asked(url, "HEAD") as answer:
            facts = _facts(answer)
    except HTTPError as error:
        if error.code in (404, 410):
            return None
        if error.code not in (403, 405, 501):
            raise Failure(f"{shown(url)}: the server says {error.code} {error.reason}") from None
        facts = _facts_by_get(url)
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise Failure(
            f"{shown(url)}: cannot be reached: {getattr(error, 'reason', error)}"
        ) from None
    if not facts:
        raise Failure(
            f"{shown(url)}: the server says neither 'ETag' nor 'Last-Modified'",
            "so nobody can tell whether it has changed: download it in a stage of its own",
        )
    return facts


def _facts_by_get(url: str) -> dict[str, Any]:
    """For servers that answer no HEAD: a GET whose body is not read."""
    from http.client import HTTPException
    from urllib.error import URLError

    try:
        with _asked(url, "GET") as answer:
            return _facts(answer)
    except (URLError, HTTPException, OSError) as error:
        raise Failure(
            f"{shown(url)}: cannot be reached: {getattr(error, 'reason', error)}"
        ) from None


def _unreachable(url: str, error: Exception) -> Failure:
    return Failure(f"{shown(url)}: cannot be reached: {getattr(error, 'reason', error)}")


def _asked(url: str, method: str) -> HTTPResponse:
    from urllib.request import Request, urlopen

    agent = {"User-Agent": "dodo-exp", "Accept-Encoding": "identity"}
    given = urlsplit(url)
    if given.username is not None:
        from base64 import b64encode

        pair = f"{unquote(given.username)}:{unquote(given.password or '')}".encode()
        agent["Authorization"] = f"Basic {b64encode(pair).decode()}"
    asked = Request(shown(url), method=method, headers=agent)
    answer: HTTPResponse = urlopen(asked, timeout=SECONDS)
    return answer


def _facts(answer: HTTPResponse) -> dict[str, Any]:
    etag = answer.headers.get("ETag") or answer.headers.get("Content-MD5")
    if etag:
        return {"etag": etag}
    modified = answer.headers.get("Last-Modified")
    return {"modified": modified, "size": answer.headers.get("Content-Length")} if modified else {}


# -- object stores and other file systems --------------------------------------------------


def _file_system(url: str) -> dict[str, Any] | None:
    """What fsspec's file system for this kind of URL says of the content."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise Failure(
            f"{shown(url)}: reading this kind of URL needs fsspec",
            f"pip install 'fsspec[{urlsplit(url).scheme}]'",
        ) from None
    try:
        system, path = url_to_fs(url)
        if system.isdir(path):
            entries = system.find(path, detail=True)
            return {name: _validator(entry) for name, entry in sorted(entries.items())}
        return _validator(system.info(path))
    except FileNotFoundError:
        return None
    except ImportError as error:
        raise Failure(f"{shown(url)}: {error}") from None
    except Exception as error:  # each file system raises its own
        raise Failure(f"{shown(url)}: cannot be read: {error}") from None


def _validator(entry: dict[str, Any]) -> dict[str, Any]:
    for name in VALIDATORS:
        if entry.get(name):
            return {name: str(entry[name])}
    times = ("mtime", "LastModified", "last_modified", "modified", "created")
    return {name: str(entry[name]) for name in ("size", *times) if name in entry}


# -- names from DVC's files ----------------------------------------------------------------


def _remote(workspace: Workspace, url: str) -> str:
    """The URL of `remote://name/path`, from the remote's own."""
    name, _, inner = url.partition("://")[2].partition("/")
    import configparser

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    for path in DVC_CONFIG:
        if os.path.isfile(workspace.path(path)):
            try:
                parser.read_string(workspace.read(path).decode("utf-8", "replace"))
            except configparser.Error:
                raise BadInput(path, "not a configuration file") from None
    remotes = {}
    for section in parser.sections():
        kind, _, quoted = section.strip("'").partition(" ")
        if kind == "remote":
            remotes[quoted.strip('"')] = parser.get(section, "url", fallback="").strip("\"'")
    base = remotes.get(name)
    if not base:
        raise BadInput(
            f"remote://{name}", "no such remote in .dvc/config", did_you_mean(name, remotes)
        )
    if "://" not in base and not os.path.isabs(base):
        base = os.path.normpath(os.path.join(".dvc", base))  # DVC's are relative to its folder
    return f"{base.rstrip('/')}/{inner}"


def _dataset(workspace: Workspace, name: str) -> Oid:
    """A dataset as dvc.yaml defines it and dvc.lock has it frozen."""
    from dodo_exp.pipeline import params

    known: dict[str, Any] = {}
    for path, file in workspace.files.items():
        locked: Any = []
        lock = os.path.join(os.path.dirname(path), "dvc.lock")
        if file.datasets and os.path.isfile(workspace.path(lock)):
            locked = params.parse(workspace.read(lock), lock).get("datasets")
        for dataset in file.datasets:
            frozen = [
                each
                for each in (locked if isinstance(locked, list) else [])
                if isinstance(each, dict) and each.get("name") == dataset["name"]
            ]
            known[dataset["name"]] = [dataset, frozen]
    if name not in known:
        raise BadInput(f"ds://{name}", "no dvc.yaml has such a dataset", did_you_mean(name, known))
    return of_bytes(canonical(known[name]).encode())
