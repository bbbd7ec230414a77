"""Names in place of files: registries in folders and on servers, what is refused, and what is kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import socket
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scinn_infer
from scinn_infer import ScinnError, ScinnWarning, store
from scinn_infer.cli import group, main_for
from scinn_infer.registry import parse_registry

ENDLESS = 2**27


class Server(ThreadingHTTPServer):
    """Serves a folder on the loopback interface, and remembers what was asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[str] = []
        self.broken = self.endless = False
        self.sent = 0


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if self.server.broken:
            self.send_error(503)
        elif self.server.endless and self.path.endswith(".onnx"):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever asked has gone
                while self.server.sent < ENDLESS:
                    self.server.sent += self.wfile.write(bytes(2**16))
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache that is not there yet, in place of the user's; no registry but the shipped one."""
    monkeypatch.setenv("SCINN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SCINN_MODELS", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def entry(content) -> dict:
    """The tiny model, as a registry states it."""
    return {
        "name": "our-tissue",
        "version": 1,
        "file": "files/our-tissue.onnx",
        "url": None,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "unit": "counts",
        "cells": 200,
        "genes": 60,
        "tissue": "a tissue",
        "quality": {"ari": {"raw": 0.5, "filled": 0.75}},
    }


@pytest.fixture
def write(tmp_path, content):
    """Write a registry of some entries beside the tiny model, and return its folder."""
    folder = tmp_path / "registry"

    def registry(*entries, version=1) -> Path:
        (folder / "files").mkdir(parents=True, exist_ok=True)
        (folder / "files" / "our-tissue.onnx").write_bytes(content)
        (folder / "registry.json").write_text(json.dumps({"version": version, "models": entries}))
        return folder

    return registry


@pytest.fixture
def server(write, entry):
    with Server(write(entry)) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def run(*arguments: object) -> int:
    return main_for(group, "scinn-infer", [str(argument) for argument in arguments])


def test_a_name_is_found_in_a_folder(write, entry, model, cache, monkeypatch):
    folder = write(entry)
    assert store.resolve("our-tissue", registries=[str(folder)]) == folder / entry["file"]
    for place in (folder, folder / "registry.json", folder.as_uri()):
        monkeypatch.setenv("SCINN_MODELS", str(place))
        assert scinn_infer.load("our-tissue", threads=1).sha256 == model.sha256
    assert not cache.exists()


def test_a_name_is_found_on_a_server_and_downloaded_once(server, model, cache, monkeypatch):
    for place in (server.url, f"{server.url}/", f"{server.url}/registry.json"):
        monkeypatch.setenv("SCINN_MODELS", place)
        assert scinn_infer.load("our-tissue", threads=1).sha256 == model.sha256
    assert server.requests.count("/files/our-tissue.onnx") == 1
    assert "our-tissue.onnx" in files_in(cache)


def test_a_server_that_is_gone_is_replaced_by_what_it_last_said(server, model, monkeypatch):
    monkeypatch.setenv("SCINN_MODELS", server.url)
    scinn_infer.load("our-tissue", threads=1)
    server.broken = True
    with pytest.warns(ScinnWarning, match="answered 503 .* when it was last read"):
        assert scinn_infer.load("our-tissue", threads=1).sha256 == model.sha256


def test_a_server_that_never_answered_is_named(monkeypatch, cache):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("SCINN_MODELS", url)
    with pytest.raises(ScinnError, match=f"cannot get {url}/registry.json: the server cannot be reached"):
        scinn_infer.load("human-pancreas")  # nor is another registry's model silently taken
    assert not cache.exists()


def test_a_url_of_its_own_is_taken_where_the_folder_has_no_file(write, entry, server, cache):
    folder = write(entry | {"url": f"{server.url}/files/our-tissue.onnx"})
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "registry.json").write_bytes((folder / "registry.json").read_bytes())
    path = store.resolve("our-tissue", registries=[str(folder / "elsewhere")])
    assert path.is_relative_to(cache)
    assert server.requests == ["/files/our-tissue.onnx"]


@pytest.mark.parametrize(
    "spoil", [lambda content: content[::-1], lambda content: content + bytes(10**6)], ids=["other bytes", "more bytes"]
)
def test_another_file_than_stated_is_refused_and_not_kept(spoil, server, write, entry, content, cache):
    (write(entry) / entry["file"]).write_bytes(spoil(content))
    with pytest.raises(ScinnError, match=r"our-tissue@1: cannot get .* not the file that the registry .* not kept"):
        store.resolve("our-tissue", registries=[server.url])
    assert "our-tissue.onnx" not in files_in(cache)
    assert not [name for name in files_in(cache) if not name.endswith(".json")]


def test_no_more_is_taken_than_the_file_has(server, cache):
    server.endless = True
    with pytest.raises(ScinnError, match="not kept"):
        store.list_models(registries=[server.url])[0].fetch()
    assert server.sent < ENDLESS / 2
    assert "our-tissue.onnx" not in files_in(cache)


def test_a_damaged_file_in_the_cache_is_replaced(server, content):
    path = store.resolve("our-tissue", registries=[server.url])
    path.write_bytes(content[:-1])
    assert store.resolve("our-tissue", registries=[server.url]).read_bytes() == content


def test_another_file_than_stated_in_a_folder_is_refused(write, entry, content):
    folder = write(entry)
    (folder / entry["file"]).write_bytes(content[::-1])
    with pytest.raises(ScinnError, match=r"has the SHA-256 .* and not .* as its registry states"):
        store.resolve("our-tissue", registries=[str(folder)])
    (folder / entry["file"]).unlink()
    with pytest.raises(ScinnError, match="cannot be read: No such file"):
        store.resolve("our-tissue", registries=[str(folder)])


def test_a_link_out_of_the_folder_is_not_followed(write, entry, tiny):
    folder = write(entry)
    (folder / entry["file"]).unlink()
    (folder / entry["file"]).symlink_to(tiny)
    with pytest.raises(ScinnError, match="leads out of the folder"):
        store.resolve("our-tissue", registries=[str(folder)])


BAD = {
    "file": [
        "../our-tissue.onnx", "files/../../x.onnx", "/etc/x.onnx", "C:/x.onnx", "files\\x.onnx", ".hidden/x.onnx",
        "files//x.onnx", "x.pkl", "", ".onnx", "x\n.onnx", "a" * 300 + ".onnx", None, 3, ["x.onnx"],
    ],
    "name": ["Our Tissue", "../x", "a/b", "a@1", "", "-a", "a" * 100, "tissue\x1b[31m", None, 7],
    "version": [0, -1, 1.0, "1", True, None, 2**40],
    "size": [0, -1, 2**31, "5", True],
    "genes": [0, "60"],
    "cells": [None],
    "sha256": ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, None],
    "unit": ["log counts", "", None, ["counts"]],
    "url": ["file:///etc/passwd", "ftp://example.org/x.onnx", "x.onnx", "javascript:1", "http://a b/c", 5],
    "card": ["../README.md", "/README.md", None],
    "tissue": [None, 5, "a" * 3000],
    "quality": [None, [], {"ari": 1}, {"ari": {"raw": "high"}}, {"ari": {"raw": float("nan")}}, {"ari": {"raw": True}}],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_what_no_registry_may_state_is_refused(key, value, write, entry):
    folder = write(entry, entry | {"version": 2, key: value})
    with pytest.raises(ScinnError, match=f"{key} .* of model 2 is not one that a registry may state"):
        store.list_models(registries=[str(folder)])


@settings(deadline=None)
@given(path=st.text(st.sampled_from("./\\a:~%\0 -"), max_size=8).map(lambda text: f"{text}.onnx"))
def test_whatever_path_a_registry_states_stays_within(path):
    fields = {"name": "n", "version": 1, "file": path, "sha256": "0" * 64, "size": 1, "unit": "tpm", "cells": 1}
    content = json.dumps({"version": 1, "models": [fields | {"genes": 1}]}).encode()
    try:
        (entry,) = parse_registry(content, source="it")
    except ScinnError:
        return
    for root in ("/registry", "C:\\registry"):
        assert ".." not in Path(entry.file).parts
        assert (Path(root) / entry.file).resolve().is_relative_to(Path(root).resolve())
    assert not set(entry.file) & set("\\:~%\0 ")


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("<html>", "is not a registry"),
        ("[]", "is not a registry"),
        ('{"version": 1}', "is not a registry"),
        ('{"version": 1, "models": {}}', "is not a registry"),
        ('{"version": 2, "models": []}', "version 2; this scinn reads versions up to 1"),
        ('{"version": 1, "models": [3]}', "model 1 is not a JSON object"),
        ('{"version": 1, "models": [{"name": "a", "size": 1}]}', "model 1 lacks version, file, sha256, unit, cells"),
        ("[" * 100_000, "is not a registry"),
    ],
)
def test_what_is_no_registry_is_refused(document, sentence, tmp_path):
    (tmp_path / "registry.json").write_text(document)
    with pytest.raises(ScinnError, match=sentence):
        store.list_models(registries=[str(tmp_path)])


def test_further_keys_are_ignored_and_a_version_twice_is_refused(write, entry):
    (found, *_) = store.list_models(registries=[str(write(entry | {"colour": "blue", "__class__": 1}))])
    assert found.entry.name == "our-tissue"
    with pytest.raises(ScinnError, match="lists our-tissue@1 twice"):
        store.list_models(registries=[str(write(entry, entry))])


def test_a_registry_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ScinnError, match=r"none/registry.json cannot be read: No such file"):
        store.resolve("our-tissue", registries=[str(tmp_path / "none")])


def test_the_highest_version_is_taken_unless_one_is_pinned(write, entry):
    folder = str(write(*(entry | {"version": version} for version in (2, 10, 9))))
    assert store.find("our-tissue", registries=[folder]).entry.version == 10
    assert store.find("our-tissue@9", registries=[folder]).entry.version == 9
    for pin in ("3", "x", "9" * 30, "-1"):
        with pytest.raises(ScinnError, match="our-tissue@2, our-tissue@10, our-tissue@9"):
            store.find(f"our-tissue@{pin}", registries=[folder])


def test_registries_are_searched_in_order(write, entry, tmp_path, monkeypatch):
    first = write(entry)
    second = tmp_path / "second"
    second.mkdir()
    (second / "registry.json").write_text(
        json.dumps({"version": 1, "models": [entry | {"version": 7}, entry | {"name": "other"}]})
    )
    monkeypatch.setenv("SCINN_MODELS", str(second))
    assert store.find("our-tissue").entry.version == 7
    assert store.find("our-tissue", registries=[str(first)]).entry.version == 1
    assert store.find("our-tissue@7", registries=[str(first)]).place == str(second)
    assert store.find("other", registries=[str(first)]).place == str(second)
    names = [found.entry.name for found in store.list_models(registries=[str(first)])]
    assert names[:3] == ["our-tissue", "our-tissue", "other"]
    assert "human-pancreas" in names


def test_an_unknown_name_says_which_there_are(write, entry, monkeypatch):
    monkeypatch.setenv("SCINN_MODELS", str(write(entry)))
    with pytest.raises(ScinnError, match=r"no model 'our-tisue'.* Did you mean our-tissue.* our-tissue, .*human-panc"):
        scinn_infer.load("our-tisue")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("human-pancreas", True),
        ("human-pancreas@1", True),
        ("", True),
        ("human-pancreas.onnx", False),
        ("./human-pancreas", False),
        ("models/human-pancreas", False),
        ("a-file", False),
        ("a-folder", True),
        ("nul\0", True),
    ],
)
def test_what_is_a_name(text, name, tmp_path, monkeypatch):
    (tmp_path / "a-file").touch()
    (tmp_path / "a-folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert store.is_name(text) == name


def test_paths_are_paths(tmp_path):
    assert store.resolve(Path("human-pancreas")) == Path("human-pancreas")
    assert store.resolve("no/such.onnx") == Path("no/such.onnx")


def test_the_list_says_all(write, entry, capfd):
    folder = write(entry)
    assert run("models", "list", "--registry", folder) == 0
    said = capfd.readouterr().out
    for word in ("our-tissue@1", "human-pancreas@1", "here"):
        assert word in said
    assert run("models", "list", "--registry", folder, "--json") == 0
    (first, *_) = json.loads(capfd.readouterr().out)
    assert {key: first[key] for key in entry} == entry | {"url": ""}
    assert first["path"] == str(folder / entry["file"])
    assert first["here"] is True


def test_a_model_is_shown(server, capfd, cache):
    assert run("models", "show", "our-tissue", "--registry", server.url) == 0
    said = capfd.readouterr().out
    for words in ("a tissue", "raw 0.5, filled 0.75", "to fetch", "not stated"):
        assert words in said
    assert "our-tissue.onnx" not in files_in(cache)
    assert run("models", "show", "our-tissue", "--registry", server.url, "--json") == 0
    assert json.loads(capfd.readouterr().out)["quality"] == {"ari": {"raw": 0.5, "filled": 0.75}}


def test_a_model_is_fetched(server, content, cache, tmp_path, capfd):
    assert run("models", "fetch", "our-tissue", "--registry", server.url) == 0
    path = Path(capfd.readouterr().out.strip())
    assert path.is_relative_to(cache)
    assert path.read_bytes() == content
    target = tmp_path / "here" / "our-tissue.onnx"
    arguments = ("models", "fetch", "our-tissue", "--registry", server.url, "-o", target.parent)
    assert run(*arguments) == 2
    assert "there is no folder" in capfd.readouterr().err
    target.parent.mkdir()
    assert run(*arguments) == 0
    assert capfd.readouterr().out.strip() == str(target)
    assert target.read_bytes() == content
    assert run(*arguments) == 2
    assert "exists already" in capfd.readouterr().err
    assert run(*arguments, "--overwrite") == 0


@pytest.mark.parametrize("command", ["show", "fetch"])
@pytest.mark.parametrize("file", ["tissue.onnx", "my model"])
def test_a_file_is_no_name_and_it_is_said_what_shows_it(command, file, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path(file).touch()
    for path in (file, tmp_path / file):
        assert run("models", command, path) == 2
        said = capfd.readouterr().err
        assert f"{path} is a file, and what is asked for is the name of a model" in said
        assert f"scinn-infer inspect {shlex.quote(str(path))}" in said
        assert "no file of that name" not in said


def test_the_commands_take_names(write, entry, content, capfd, tmp_path, monkeypatch):
    folder = write(entry)
    assert run("inspect", "our-tissue", "--registry", folder, "--json") == 0
    assert json.loads(capfd.readouterr().out)["sha256"] == entry["sha256"]
    monkeypatch.setenv("SCINN_MODELS", str(folder))
    for command in (("check",), ("apply", "-o", tmp_path / "imputed.h5ad")):
        assert run(command[0], "our-tissue", tmp_path / "none.h5ad", *command[1:]) == 2
        assert "none.h5ad is not there" in capfd.readouterr().err
        assert run(command[0], "our-tisue", tmp_path / "none.h5ad", *command[1:]) == 2
        assert "Did you mean our-tissue" in capfd.readouterr().err


def test_a_shipped_model_needs_no_network_and_no_pooch(tmp_path):
    program = (
        "import sys\n"
        "for name in ('pooch', 'requests'): sys.modules[name] = None\n"
        "import scinn_infer\n"
        "print(scinn_infer.load('human-pancreas', threads=1).info.tissue)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "pancreas"
