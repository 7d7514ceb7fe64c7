"""Dependencies that are URLs or datasets: when a stage runs again, and what is told."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.space import Space


class Site(ThreadingHTTPServer):
    """A web server with these headers, or this status, for every path."""

    headers: dict[str, str]
    status: int
    methods: list[str]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_HEAD(self) -> None:
        self.server.methods.append(self.command)
        status = self.server.status
        if status == 405 and self.command == "GET":
            status = 200
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(("127.0.0.1", 0), _Handler) as server:
        server.headers, server.status, server.methods = {"ETag": '"1"'}, 200, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def pipeline(space: Space, url: str) -> None:
    space.write("dvc.yaml", f"stages: {{a: {{cmd: date > x, deps: ['{url}'], outs: [x]}}}}\n")


def how(space: Space) -> str:
    return space.repro().stages["a"]


def test_a_stage_runs_again_when_the_etag_changes(space: Space, site: Site) -> None:
    pipeline(space, site.url("data.csv"))
    assert [how(space), how(space)] == ["ran", "unchanged"]
    site.headers = {"ETag": '"2"'}
    assert "changed" in space.dodo("why", "a").out
    assert how(space) == "ran"
    site.headers = {"ETag": '"1"'}
    assert how(space) == "restored"
    assert set(site.methods) == {"HEAD"}


def test_without_an_etag_time_and_size_count(space: Space, site: Site) -> None:
    pipeline(space, site.url("data.csv"))
    site.headers = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Content-Length": "5"}
    assert [how(space), how(space)] == ["ran", "unchanged"]
    site.headers["Content-Length"] = "6"
    assert how(space) == "ran"


def test_a_server_that_knows_no_head_is_asked_with_get(space: Space, site: Site) -> None:
    pipeline(space, site.url("data.csv"))
    site.status = 405
    assert [how(space), how(space)] == ["ran", "unchanged"]
    assert "GET" in site.methods


def test_what_is_not_there_is_missing(space: Space, site: Site) -> None:
    pipeline(space, site.url("data.csv"))
    site.status = 404
    ran = space.repro(code=2)
    assert f"needs '{site.url('data.csv')}'" in ran.err
    assert not space.exists("x")


@pytest.mark.parametrize(
    "headers, status, says",
    [
        ({}, 200, "neither 'ETag' nor 'Last-Modified'"),
        ({"ETag": "x"}, 500, "the server says 500"),
    ],
)
def test_a_server_that_cannot_tell_fails_in_one_line(
    space: Space, site: Site, headers: dict[str, str], status: int, says: str
) -> None:
    pipeline(space, site.url("data.csv").replace("//", "//user:secret@"))
    site.headers, site.status = headers, status
    ran = space.repro(code=1)
    assert says in ran.err and "secret" not in ran.err
    assert not space.exists("x")


def test_a_server_that_is_not_there_fails_in_one_line(space: Space) -> None:
    pipeline(space, "http://127.0.0.1:9/x")
    assert "cannot be reached" in space.repro(code=1).err


def test_a_remote_is_looked_up_in_dvcs_configuration(space: Space) -> None:
    space.write(".dvc/config", "['remote \"here\"']\n    url = ../data\n")
    space.write("data/x.csv", "1\n")
    pipeline(space, "remote://here/x.csv")
    assert [how(space), how(space)] == ["ran", "unchanged"]
    space.write("data/x.csv", "2\n")
    assert how(space) == "ran"
    pipeline(space, "remote://there/x.csv")
    assert "no such remote in .dvc/config" in space.repro(code=2).err


def test_a_dataset_counts_by_its_entry_and_its_frozen_version(space: Space) -> None:
    stage = "stages: {a: {cmd: date > x, deps: ['ds://cats'], outs: [x]}}\n"
    first = "datasets: [{name: cats, type: dc, version: 1}]\n"
    space.write("dvc.yaml", first + stage)
    assert [how(space), how(space)] == ["ran", "unchanged"]
    space.write("dvc.yaml", first.replace("1", "2") + stage)
    assert how(space) == "ran"
    space.write("dvc.lock", "schema: '2.0'\ndatasets:\n- {name: cats, version: 7}\n")
    assert how(space) == "ran"
    space.write("dvc.yaml", stage)
    assert "no dvc.yaml has such a dataset" in space.repro(code=2).err


def test_another_kind_of_url_names_what_is_to_be_installed(space: Space) -> None:
    pipeline(space, "s3://bucket/x")
    # fsspec names the package itself where it is installed, as here.
    assert "s3://bucket/x: " in space.repro(code=1).err
    blocked = "import sys; sys.modules['fsspec'] = None\n"
    (space.base / "home" / "sitecustomize.py").write_text(blocked)
    ran = space.dodo("repro", code=1, env={"PYTHONPATH": str(space.base / "home")})
    assert "pip install 'fsspec[s3]'" in ran.err


def test_any_file_system_of_fsspec_can_hold_a_dependency(space: Space) -> None:
    archive = space.root / "a.zip"
    for text, ends in (("1", ["ran", "unchanged"]), ("22", ["ran", "unchanged"])):
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("in/x.csv", text)
        pipeline(space, "zip://in/x.csv::file://" + str(archive))
        assert [how(space), how(space)] == ends
