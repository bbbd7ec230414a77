"""A file appears whole or not at all, and nothing that was there is lost."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys

import pytest

from scinn_infer import ScinnError
from scinn_infer.wholefile import whole_file


def write(path, content="new", **options) -> None:
    with whole_file(path, **options) as temporary:
        temporary.write_text(content)


def listing(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.txt"


def test_the_file_appears_when_it_is_whole(out):
    with whole_file(out) as temporary:
        temporary.write_text("half")
        assert not out.exists()
        assert temporary.parent == out.parent
    assert out.read_text() == "half"
    assert listing(out.parent) == ["out.txt"]


def test_everybody_may_read_it_as_any_other_new_file(out, tmp_path):
    (tmp_path / "other").touch()
    write(out)
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize("overwrite", [True, False])
def test_the_content_is_on_the_disk_before_it_has_its_name_and_the_name_after(out, monkeypatch, overwrite):
    if overwrite:
        out.write_text("old")
    flushed, fsync = [], os.fsync

    def watched(descriptor):
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        flushed.append(("folder" if folder else os.pread(descriptor, 9, 0), out.exists() and out.read_text()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write(out, overwrite=overwrite)
    assert flushed == [(b"new", "old" if overwrite else False), ("folder", "new")]


def test_an_error_leaves_nothing(out):
    with pytest.raises(ZeroDivisionError), whole_file(out):
        _ = 1 / 0
    assert listing(out.parent) == []


def test_an_error_leaves_the_old_file(out):
    out.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(out, overwrite=True):
        raise KeyboardInterrupt
    assert (listing(out.parent), out.read_text()) == (["out.txt"], "old")


def test_a_full_disk_is_one_sentence(out):
    out.write_text("old")
    sentence = r"out.txt could not be written: No space left on device\. .* unchanged"
    with pytest.raises(ScinnError, match=sentence), whole_file(out, overwrite=True):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (listing(out.parent), out.read_text()) == (["out.txt"], "old")


def test_room_is_looked_for_first(out):
    with pytest.raises(ScinnError, match=r"writing .*out.txt needs 1.0 EB, and .* has .* free"):
        write(out, needs=10**18)
    assert listing(out.parent) == []


def test_an_existing_file_is_replaced_only_when_asked_for(out):
    write(out, "old")
    out.chmod(0o600)
    with pytest.raises(ScinnError, match="exists already"):
        write(out)
    assert out.read_text() == "old"
    write(out, overwrite=True)
    assert out.read_text() == "new"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(out, monkeypatch, links):
    if not links:
        monkeypatch.setattr("pathlib.Path.hardlink_to", _no_links)
    with pytest.raises(ScinnError, match="exists already"), whole_file(out):
        out.write_text("somebody else's")
    assert (listing(out.parent), out.read_text()) == (["out.txt"], "somebody else's")


def test_a_file_system_without_hard_links_will_do(out, monkeypatch):
    monkeypatch.setattr("pathlib.Path.hardlink_to", _no_links)
    write(out)
    assert (listing(out.parent), out.read_text()) == (["out.txt"], "new")


def _no_links(self, target):
    raise PermissionError(errno.EPERM, "no hard links here")


@pytest.mark.parametrize("alias", ["same", "symlink", "hardlink", "through a folder"])
def test_an_input_is_never_written_to(tmp_path, alias):
    source = tmp_path / "in.txt"
    source.write_text("precious")
    output = tmp_path / "out.txt"
    if alias == "same":
        output = source
    elif alias == "symlink":
        output.symlink_to(source)
    elif alias == "hardlink":
        output.hardlink_to(source)
    else:
        (tmp_path / "folder").mkdir()
        output = tmp_path / "folder" / ".." / "in.txt"
    with pytest.raises(ScinnError, match="same file as"):
        write(output, overwrite=True, keep=[source])
    assert source.read_text() == "precious"


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(tmp_path / "link")
    write(tmp_path / "link", "newer", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "newer"


@pytest.mark.parametrize("overwrite", [True, False])
def test_folders_and_devices_are_no_outputs(tmp_path, overwrite):
    for output in (tmp_path, "/dev/null"):
        with pytest.raises(ScinnError, match="not a file"):
            write(output, overwrite=overwrite)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ScinnError, match=f"there is no folder {tmp_path / 'none'}"):
        write(tmp_path / "none" / "out.txt")


def test_a_kill_leaves_the_old_file(out):
    out.write_text("old")
    code = (
        "import os, signal, sys; from scinn_infer.wholefile import whole_file\n"
        "with whole_file(sys.argv[1], overwrite=True) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, out], check=False).returncode == -9
    assert out.read_text() == "old"
    assert all(name == "out.txt" or name.endswith(".part") for name in listing(out.parent))
