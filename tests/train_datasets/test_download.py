"""Downloads: from the upstream URL, from a mirror, from the cache, and all the ways in which they fail."""

from __future__ import annotations

import re
import socket
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pooch
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scinn_infer.errors import ScinnError
from scinn_train import datasets

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import UpstreamServer


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def refusal(entry: datasets.Dataset, **options: float) -> str:
    with pytest.raises(ScinnError) as raised:
        datasets.fetch(entry, **options)
    return str(raised.value)


def test_files_come_from_their_own_urls_into_the_cache(tiny: datasets.Dataset, cache: Path) -> None:
    paths = datasets.fetch(tiny)
    assert paths == [cache / "tiny" / "profile.txt", cache / "tiny" / "labels.txt"]
    assert files_in(cache) == ["tiny/labels.txt", "tiny/profile.txt"]


def test_what_is_read_is_what_was_served(tiny: datasets.Dataset) -> None:
    adata = datasets.load(tiny)
    assert adata.X.toarray().tolist() == [[5, 0], [0, 2], [1, 0]]
    assert adata.obs_names.tolist() == ["c1", "c2", "c3"]
    assert adata.var_names.tolist() == ["Actb", "Sox2"]
    assert adata.obs["label"].tolist() == ["d0", "d0", "d4"]


def test_a_cached_file_is_not_asked_for_again(tiny: datasets.Dataset, upstream: UpstreamServer) -> None:
    first = datasets.fetch(tiny)
    upstream.fault = "503"
    assert datasets.fetch(tiny) == first
    assert len(upstream.requests) == 2


def test_a_damaged_cached_file_is_replaced(tiny: datasets.Dataset, upstream: UpstreamServer) -> None:
    profile, _ = datasets.fetch(tiny)
    whole = profile.read_bytes()
    profile.write_bytes(whole[:-3])
    assert datasets.fetch(tiny)[0].read_bytes() == whole
    assert len(upstream.requests) == 3


def test_a_mirror_url_is_asked_instead(
    tiny: datasets.Dataset, upstream: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = replace(
        tiny, files=tuple(replace(file, url=f"http://nowhere.invalid/{file.name}") for file in tiny.files)
    )
    monkeypatch.setenv("SCINN_DATA_MIRROR", f"{upstream.url}/")
    datasets.fetch(elsewhere)
    assert upstream.requests == ["/tiny/profile.txt", "/tiny/labels.txt"]


@pytest.mark.parametrize("as_url", [False, True], ids=["path", "file URL"])
def test_a_mirror_folder_is_copied_from(
    as_url: bool, tiny: datasets.Dataset, upstream: UpstreamServer, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("SCINN_DATA_MIRROR", upstream.folder.as_uri() if as_url else str(upstream.folder))
    assert [path.name for path in datasets.fetch(tiny)] == ["profile.txt", "labels.txt"]
    assert files_in(cache) == ["tiny/labels.txt", "tiny/profile.txt"]
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("404", "the server answered 404 Not Found"),
        ("503", "the server answered 503 Service Unavailable"),
        ("breaks off", "the connection broke off before the end of the file"),
        ("cut short", r"not the file that the catalogue pins \(SHA-256 [0-9a-f]{64}\).* It was not kept"),
    ],
)
def test_a_failing_server_is_named_and_leaves_nothing(
    fault: str, said: str, tiny: datasets.Dataset, upstream: UpstreamServer, cache: Path
) -> None:
    upstream.fault = fault
    sentence = refusal(tiny)
    assert sentence.startswith(f"tiny: cannot get profile.txt from {upstream.url}/tiny/profile.txt: ")
    assert re.search(said, sentence)
    assert "SCINN_DATA_MIRROR" in sentence
    assert files_in(cache) == []


def test_the_right_length_with_other_bytes_is_refused(
    tiny: datasets.Dataset, upstream: UpstreamServer, cache: Path
) -> None:
    labels = upstream.folder / "tiny" / "labels.txt"
    labels.write_bytes(labels.read_bytes()[::-1])
    assert "tiny: cannot get labels.txt" in refusal(tiny)
    assert files_in(cache) == ["tiny/profile.txt"]


def test_a_damaged_cached_file_that_cannot_be_replaced_is_not_used(
    tiny: datasets.Dataset, upstream: UpstreamServer
) -> None:
    datasets.fetch(tiny)[0].write_bytes(b"damaged")
    upstream.fault = "404"
    assert "404" in refusal(tiny)


@pytest.mark.parametrize(("fault", "said"), [("silent", "did not answer in time"), ("stalls", "or fell silent")])
def test_a_server_that_keeps_silent_is_given_up(
    fault: str, said: str, tiny: datasets.Dataset, upstream: UpstreamServer, cache: Path
) -> None:
    upstream.fault = fault
    begin = time.monotonic()
    assert said in refusal(tiny, timeout=1.0)
    assert time.monotonic() - begin < 10
    assert files_in(cache) == []


def test_a_dead_server_is_named(tiny: datasets.Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("SCINN_DATA_MIRROR", dead)
    sentence = refusal(tiny)
    assert f"from {dead}/tiny/profile.txt: the server cannot be reached" in sentence
    assert f"unset SCINN_DATA_MIRROR to download from {tiny.files[0].url}" in sentence
    assert files_in(cache) == []


@pytest.mark.parametrize("mirror", ["http://", "http://[", "https:///"])
def test_a_mirror_url_that_is_none_is_named(
    mirror: str, tiny: datasets.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCINN_DATA_MIRROR", mirror)
    assert f"SCINN_DATA_MIRROR is {mirror}" in refusal(tiny)


def test_a_mirror_folder_without_the_file_is_named(
    tiny: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("SCINN_DATA_MIRROR", str(tmp_path / "no such mirror"))
    sentence = refusal(tiny)
    assert f"{tmp_path}/no such mirror/tiny/profile.txt: No such file or directory" in sentence
    assert "it must hold the unchanged file as tiny/profile.txt" in sentence
    assert files_in(cache) == []


def test_a_cache_that_cannot_be_written_is_named(
    tiny: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "occupied").write_text("a file where the folder should be")
    monkeypatch.setenv("SCINN_CACHE", str(tmp_path / "occupied"))
    sentence = refusal(tiny)
    assert f"the cache folder {tmp_path}/occupied cannot take it (Not a directory)" in sentence
    assert "SCINN_CACHE" in sentence


@given(content=st.binary(max_size=200))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_other_bytes_enter_the_cache(
    content: bytes, tiny: datasets.Dataset, upstream: UpstreamServer, cache: Path
) -> None:
    profile = upstream.folder / "tiny" / "profile.txt"
    profile.write_bytes(content)
    assert "It was not kept" in refusal(tiny)
    assert files_in(cache) == []


def test_a_missing_package_is_named_with_its_remedy(tiny: datasets.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ScinnError, match=r'tiny needs anndata: pip install "scinn\[train\]"'):
        datasets.load(tiny)


def test_downloads_are_quiet_and_leave_the_logger_of_pooch_alone(
    tiny: datasets.Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = pooch.get_logger()
    level, handlers = logger.level, list(logger.handlers)
    # Its handler keeps the stderr of the moment when pooch was imported.
    monkeypatch.setattr(handlers[0], "stream", sys.stderr)
    datasets.fetch(tiny, progress=True)
    assert capsys.readouterr() == ("", "")
    assert (logger.level, logger.handlers) == (level, handlers)


def test_a_terminal_sees_a_progress_bar(
    tiny: datasets.Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    datasets.fetch(tiny, progress=True)
    assert "profile.txt" in capsys.readouterr().err
    datasets.fetch(tiny, progress=True)
    assert capsys.readouterr().err == "", "a cached file draws no bar"
