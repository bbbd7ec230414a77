"""Loopback servers: one for the real upstream files, one for small made-up ones that can be told to fail."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scinn_train import datasets
from scinn_train.datasets import readers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData

REPOSITORY = Path(__file__).parents[2]


class UpstreamServer(ThreadingHTTPServer):
    """Serves a folder on the loopback interface, counts what is asked for, and fails in the way it is told to."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.fault = ""
        self.requests: list[str] = []
        self.over = threading.Event()


class _Handler(SimpleHTTPRequestHandler):
    server: UpstreamServer

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        fault = self.server.fault
        if fault == "silent":
            self.server.over.wait(timeout=30)
        elif fault in ("breaks off", "cut short", "stalls"):
            content = Path(self.translate_path(self.path)).read_bytes()
            half = content[: len(content) // 2]
            self.send_response(200)
            self.send_header("Content-Length", str(len(half if fault == "cut short" else content)))
            self.end_headers()
            self.wfile.write(half)
            if fault == "stalls":
                self.server.over.wait(timeout=30)
        elif fault:
            self.send_error(int(fault))
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the tests look at stderr."""


@contextmanager
def serve(folder: Path) -> Iterator[UpstreamServer]:
    server = UpstreamServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is not there yet, in place of the user's; no mirror, and no proxy before the loopback."""
    monkeypatch.setenv("SCINN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SCINN_DATA_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[UpstreamServer]:
    """A server of the made-up dataset ``tiny``: 3 cells × 2 genes, in the form of klein_1000x900."""
    folder = tmp_path / "upstream"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "profile.txt").write_text(",c1,c2,c3\nActb,5,0,1\nSox2,0,2,0\n")
    (folder / "tiny" / "labels.txt").write_text("0\n0\n4\n")
    with serve(folder) as server:
        yield server


@pytest.fixture
def tiny(upstream: UpstreamServer) -> datasets.Dataset:
    """The catalogue entry of the made-up dataset."""

    def pinned(name: str) -> datasets.SourceFile:
        digest = hashlib.sha256((upstream.folder / "tiny" / name).read_bytes()).hexdigest()
        return datasets.SourceFile(f"{upstream.url}/tiny/{name}", digest)

    return datasets.Dataset(
        name="tiny",
        holds="made up",
        cells=3,
        genes=2,
        unit="counts",
        quantity="UMI counts",
        labels="day (2)",
        batches=None,
        licence="none",
        citation="nobody",
        files=(pinned("profile.txt"), pinned("labels.txt")),
        read=readers.read_klein,
    )


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with the real upstream files."""
    folder = Path(os.environ.get("SCINN_TEST_DATA") or REPOSITORY.parent / "shared" / "datasets")
    if not (folder / "EXPECTED.json").is_file():
        pytest.skip(f"the real datasets are not here: there is no {folder}/EXPECTED.json; name them in SCINN_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def load_real(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], AnnData]]:
    """Load a real dataset, once per session, through a loopback mirror."""
    loaded: dict[str, AnnData] = {}
    cache = tmp_path_factory.mktemp("real") / "cache"
    with serve(data_folder) as server:

        def load(name: str) -> AnnData:
            if name not in loaded:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv("SCINN_CACHE", str(cache))
                    patch.setenv("SCINN_DATA_MIRROR", server.url)
                    loaded[name] = datasets.load(name)
            return loaded[name]

        yield load
