"""A model file is not trusted, a model travels between processes, and a wrong setting is refused."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scinn_infer
from scinn_infer import ScinnError

pytestmark = pytest.mark.filterwarnings("ignore:.*cells have no expression")  # of the one among the counts


def varint(value: int) -> bytes:
    rest, low = value >> 7, value & 0x7F
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: bytes | int) -> bytes:
    """Encode one protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def graph_of(content: bytes) -> tuple[int, int, int]:
    """Where the graph's field starts, its message starts, and it ends."""
    position = 0
    while True:
        start, key = position, content[position]
        position += 1
        length, shift = 0, 0
        while True:
            byte = content[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if key == 7 << 3 | 2:
            return start, position, position + length
        position += length if key & 7 == 2 else 0


def with_in_graph(content: bytes, extra: bytes) -> bytes:
    start, message, end = graph_of(content)
    return content[:start] + field(7, content[message:end] + extra) + content[end:]


def node(*parts: bytes) -> bytes:
    return field(1, field(1, b"expression") + field(2, b"unused") + field(4, b"Identity") + b"".join(parts))


def tensor(*parts: bytes) -> bytes:
    return field(1, 2) + field(2, 1) + field(8, b"extra") + b"".join(parts)


EXTERNAL = field(13, field(1, b"location") + field(2, b"/etc/passwd")) + field(14, 1)
WHOLE = field(9, bytes(8))

FORBIDDEN = {
    "functions": (lambda content: content + field(25, field(1, b"f")), "operators of its own"),
    "training": (lambda content: content + field(20, b""), "a training program"),
    "opset domain": (
        lambda content: content + field(8, field(1, b"com.microsoft") + field(2, 1)),
        "the domain 'com.microsoft'",
    ),
    "node domain": (lambda content: with_in_graph(content, node(field(7, b"evil"))), "the domain 'evil'"),
    "external weights": (lambda content: with_in_graph(content, field(5, tensor(EXTERNAL))), "from another file"),
    "external flag": (lambda content: with_in_graph(content, field(5, tensor(field(14, 1)))), "from another file"),
    "external attribute": (
        lambda content: with_in_graph(content, node(field(5, field(1, b"value") + field(5, tensor(EXTERNAL))))),
        "from another file",
    ),
    "external attributes": (
        lambda content: with_in_graph(content, node(field(5, field(1, b"values") + field(10, tensor(EXTERNAL))))),
        "from another file",
    ),
    "inner graph": (
        lambda content: with_in_graph(content, node(field(5, field(1, b"body") + field(6, b"")))),
        "a graph within its graph",
    ),
    "inner graphs": (
        lambda content: with_in_graph(content, node(field(5, field(1, b"bodies") + field(11, b"")))),
        "a graph within its graph",
    ),
    "sparse weights": (lambda content: with_in_graph(content, field(15, b"")), "sparse weights"),
    "sparse attribute": (
        lambda content: with_in_graph(content, node(field(5, field(1, b"value") + field(22, b"")))),
        "sparse weights",
    ),
    "enormous weights": (
        lambda content: with_in_graph(content, field(5, field(1, 2**40) + tensor(WHOLE))),
        r"a tensor of shape \(1099511627776, 2\) is stored in",
    ),
    "enormous packed": (
        lambda content: with_in_graph(content, field(5, field(1, varint(2**40) + varint(2)) + tensor(WHOLE))),
        "a tensor of shape",
    ),
    "second graph": (lambda content: content + field(7, b""), "graph is there 2 times"),
    "no graph": (lambda content: content[: graph_of(content)[0]], "graph is there 0 times"),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_refuses_what_a_model_file_has_no_business_with(content, case):
    change, sentence = FORBIDDEN[case]
    with pytest.raises(ScinnError, match=sentence):
        scinn_infer.load(change(content))


def test_the_changes_above_are_what_is_refused(content):
    harmless = with_in_graph(content, node(field(7, b"ai.onnx")) + field(5, tensor(WHOLE)))
    assert scinn_infer.load(harmless).genes == scinn_infer.load(content).genes


BROKEN = {
    "empty": (lambda content: b"", "is empty"),
    "text": (lambda content: b"<html>404 not found</html>", "is not an ONNX model"),
    "truncated": (lambda content: content[: len(content) // 2], "truncated or damaged"),
    "last byte": (lambda content: content[:-1], "truncated or damaged"),
    "no metadata": (lambda content: content[: graph_of(content)[2]], "scINN|cannot be loaded"),
    "another model": (lambda content: content.replace(b"scinn.format", b"other.format"), "not a scINN model"),
    "later format": (
        lambda content: content.replace(b"\x0cscinn.format\x12\x013", b"\x0cscinn.format\x12\x014"),
        "reads formats up to 3",
    ),
    "not text": (
        lambda content: content.replace(b"scinn.tissue\x12\x15none", b"scinn.tissue\x12\x15\xff\xff\xff\xff"),
        "text",
    ),
    "other operator": (lambda content: content.replace(b"\x22\x03Exp", b"\x22\x03Abc"), "cannot be loaded"),
    "unreadable operator": (
        lambda content: content.replace(b"\x22\x03Exp", b"\x22\x03\xff\xfe\xfd"),
        "not text",
    ),
    "other output": (lambda content: content.replace(b"imputed", b"Imputed"), "it has no 'imputed'"),
    "no output of format 2": (lambda content: content.replace(b"denoised", b"Denoised"), "it has no 'denoised'"),
    "capture efficiency of a half more than all": (
        lambda content: content.replace(b"capture_efficiency\x12\x040.15", b"capture_efficiency\x12\x041.50"),
        "1.5 is not between 0 and 1",
    ),
    "molecule value of nothing": (
        lambda content: content.replace(b"molecule_value\x12\x04null", b"molecule_value\x12\x040.00"),
        "0.0 is not above 0",
    ),
    "capture efficiency and molecule value": (
        lambda content: content.replace(b"molecule_value\x12\x04null", b"molecule_value\x12\x0430.5"),
        "it states a capture efficiency and a molecule value",
    ),
    "capture efficiency in words": (
        lambda content: content.replace(b"capture_efficiency\x12\x040.15", b"capture_efficiency\x12\x04some"),
        "its metadata is damaged",
    ),
    "other input": (lambda content: content.replace(b"expression", b"Expression"), "it has no 'expression'"),
}


def test_a_file_without_a_capture_efficiency_has_none(content):
    unstated = scinn_infer.load(content.replace(b"scinn.capture_efficiency", b"other.capture_efficiency"))
    assert unstated.info.capture_efficiency is None
    null = content.replace(b"capture_efficiency\x12\x040.15", b"capture_efficiency\x12\x04null")
    assert scinn_infer.load(null).info == unstated.info


@pytest.mark.parametrize("case", BROKEN)
def test_refuses_a_file_that_is_no_scinn_model(content, case, tmp_path, capfd):
    change, sentence = BROKEN[case]
    path = tmp_path / "broken.onnx"
    path.write_bytes(change(content))
    assert path.read_bytes() != content
    with pytest.raises(ScinnError, match=sentence) as refusal:
        scinn_infer.load(path)
    assert str(path) in str(refusal.value)
    assert "".join(capfd.readouterr()) == ""


def test_refuses_a_default_that_is_missing(content):
    start, message, end = graph_of(content)
    graph = content[message:end].replace(b"B\x08measured", b"B\x08Measured")
    with pytest.raises(ScinnError, match="file contract: it has no 'measured' with a default"):
        scinn_infer.load(content[:start] + field(7, graph) + content[end:])


@settings(deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_is_done_to_the_bytes_only_a_refusal_comes_out(data, content, counts, genes):
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        match data.draw(st.sampled_from(["cut", "set", "flip", "drop", "repeat"])):
            case "cut":
                del changed[max(place, 1) :]
            case "set":
                changed[place] = data.draw(st.integers(0, 255))
            case "flip":
                changed[place] ^= 1 << data.draw(st.integers(0, 7))
            case "drop":
                del changed[place : place + data.draw(st.integers(1, 20))]
                changed = changed or bytearray(1)
            case "repeat":
                changed[place:place] = changed[place : place + data.draw(st.integers(1, 20))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = scinn_infer.load(bytes(changed), threads=1).impute(counts[:5], genes)
        except ScinnError as refusal:
            assert len(str(refusal)) > 20  # noqa: PT017 - most changes are refused, not all
        else:
            assert np.isfinite(result).all()
            assert (result >= 0).all()


def test_refuses_a_path_without_a_file(tmp_path):
    with pytest.raises(ScinnError, match=r"none\.onnx is not there"):
        scinn_infer.load(tmp_path / "none.onnx")
    with pytest.raises(ScinnError, match="is a folder"):
        scinn_infer.load(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden here")
def test_refuses_a_file_that_may_not_be_read(tiny, tmp_path):
    path = tmp_path / "secret.onnx"
    path.write_bytes(tiny.read_bytes())
    path.chmod(0)
    with pytest.raises(ScinnError, match="cannot be read: Permission denied"):
        scinn_infer.load(path)


def test_path_and_bytes_are_the_same_model(tiny, content, model, counts, genes, imputed):
    for given_as in (str(tiny), tiny, content):
        loaded = scinn_infer.load(given_as, threads=1)
        assert loaded.info == model.info
        assert loaded.sha256 == model.sha256
        assert (loaded.impute(counts, genes) == imputed).all()


def test_says_what_it_is(model, tiny):
    assert model.path == tiny
    assert model.genes == model.info.genes
    assert "60 genes" in repr(model)
    assert "counts" in repr(model)


def test_an_unknown_provider_is_refused_with_those_that_are_there(content):
    for providers in (["TensorrtExecutionProvider"], ["CPUExecutionProvider", "Abacus"]):
        with pytest.raises(ScinnError, match=r"Available: .*CPUExecutionProvider"):
            scinn_infer.load(content, providers=providers)
    with pytest.raises(ScinnError, match="an empty list"):
        scinn_infer.load(content, providers=[])
    assert scinn_infer.load(content, providers=["CPUExecutionProvider"]).providers == ("CPUExecutionProvider",)


def test_threads(content, monkeypatch):
    assert scinn_infer.load(content, threads=3).threads == 3
    monkeypatch.setattr("scinn_infer.model.available_threads", lambda: 5)
    assert scinn_infer.load(content).threads == 5
    for threads in (0, "3", 2.5):
        with pytest.raises(ScinnError, match=r"^threads is .*; it has to be a whole number from 1 on\.$"):
            scinn_infer.load(content, threads=threads)
    for threads in (0, "3", None):
        with pytest.raises(ScinnError, match=r"^threads is .*; it has to be a whole number from 1 on\.$"):
            scinn_infer.load(content, threads=1).with_threads(threads)


def test_is_pickled_by_path_or_by_bytes(tiny, content, counts, genes, imputed):
    by_path = pickle.dumps(scinn_infer.load(tiny, threads=1))
    by_bytes = pickle.dumps(scinn_infer.load(content, threads=1))
    assert content not in by_path
    assert content in by_bytes
    for pickled in (by_path, by_bytes):
        assert (pickle.loads(pickled).impute(counts, genes) == imputed).all()


def test_a_relative_path_is_pickled_as_an_absolute_one(tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(tiny.parent)
    pickled = pickle.dumps(scinn_infer.load("tiny.onnx"))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickled).path == tiny


def test_a_file_that_was_swapped_is_refused_when_unpickled(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    pickled = pickle.dumps(scinn_infer.load(path))
    path.write_bytes(content.replace(b"human", b"mouse"))
    with pytest.raises(ScinnError, match="is not the file any more"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(ScinnError, match="is not there"):
        pickle.loads(pickled)


def test_a_file_that_is_swapped_after_loading_does_not_matter(content, counts, genes, imputed, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    model = scinn_infer.load(path, threads=1)
    path.write_bytes(b"")
    assert (model.impute(counts, genes) == imputed).all()


@pytest.mark.parametrize("method", ["spawn", "fork"] if hasattr(os, "fork") else ["spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_works_in_other_processes(tiny, counts, genes, imputed, method):
    model = scinn_infer.load(tiny, threads=2)
    model.impute(counts, genes)  # with a session that the children must not touch
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        result = pool.submit(model.impute, counts, genes).result(timeout=60)
    np.testing.assert_allclose(result, imputed, rtol=1e-6)
    assert (model.impute(counts, genes) == result).all()


FORK = """
import os, sys, numpy, scinn_infer
model = scinn_infer.load(sys.argv[1], threads=2)
X = numpy.arange(600).reshape(10, 60) % 3
expected = model.impute(X, model.genes)
child = os.fork()
same = (model.impute(X, model.genes) == expected).all()
if child == 0:
    sys.exit(0 if same else 1)  # an end that tidies up, unlike that of multiprocessing's children
sys.exit(0 if same and os.waitpid(child, 0)[1] == 0 else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_works_after_a_fork_and_lets_the_child_end(tiny, runs_to_its_end):
    runs_to_its_end(FORK, tiny)


def test_threads_may_share_a_model(tiny, counts, genes, imputed):
    model = scinn_infer.load(tiny, threads=1)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: model.impute(counts, genes), range(8)))
    assert all((result == imputed).all() for result in results)


LIGHT = """
import sys, scinn_infer
heavy = "torch onnx sklearn anndata h5py pandas matplotlib click rich pooch umap scinn_train".split()
print(*[name for name in heavy if name in sys.modules])
"""


def test_the_import_is_light_and_leaves_no_trace(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_DATA_HOME": str(home), "TMPDIR": str(home)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")} | places
    run = subprocess.run(
        [sys.executable, "-c", LIGHT], check=True, env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert run.stdout.strip() == ""
    assert run.stderr == ""
    assert list(Path(home).rglob("*")) == []
