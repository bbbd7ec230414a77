"""The page about speed says what the records say, and of what is not reached that it is not."""

from __future__ import annotations

import cost_report
import pytest
import record

SHARE = {"median": 0.85, "lowest": 0.8, "highest": 0.9, "best": 0.86}
CHANCE = {"median": 1.2, "lowest": 0.4, "highest": 1.6, "best": 0.5}
RECORDS = {
    "apply_speed": {
        "cells": 100,
        "genes": 12_000,
        "cases": [
            {
                "threads": 2,
                "gene_order": "the model's",
                "floor_seconds": [1.0],
                "bare_seconds": [2.0],
                "scinn_seconds": [4.0],
                "scinn_of_bare": SHARE,
                "bare_of_floor": CHANCE,
            }
        ],
    },
    "apply_memory": {
        "genes": 1000,
        "cases": [{"format": "zarr", "cells": cells, "peak_mb": peak} for cells, peak in ((10, 200.0), (1000, 300.0))],
    },
    "apply_versus": {
        "cells": 1000,
        "genes": 12_000,
        "threads": 2,
        "runs": [
            {"tool": "scINN", "seconds": [1.0], "peak_mb": [300.0]},
            {"tool": "MAGIC", "seconds": [40.0], "peak_mb": [3000.0]},
        ],
        "ratios": {
            "MAGIC": {
                "seconds": {"median": 40.0, "lowest": 39.0, "highest": 41.0},
                "seconds_with_imports": {"median": 15.0, "lowest": 14.0, "highest": 16.0},
                "memory_share": 0.1,
            }
        },
    },
    "apply_resume": {"runs": 20, "kills": 23, "identical": 19, "harmed": 0},
    "fit_scale": {
        "genes": 2000,
        "runs": [
            {"cells": 10_000, "epochs": 30, "cpu_seconds": 200.0, "total_seconds": 120.0, "peak_mb": 900.4},
            {"cells": 100_000, "epochs": 10, "cpu_seconds": 2500.0, "total_seconds": 2400.0, "peak_mb": 4100.0},
        ],
    },
}


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """Write the page, and return its lines."""

    def write(records):
        monkeypatch.setattr(record, "read", lambda name: records.get(name, {}))
        monkeypatch.setattr(cost_report, "PAGE", tmp_path / "speed.md")
        monkeypatch.setattr(cost_report, "PICTURE", tmp_path / "bars.png")
        monkeypatch.setattr(cost_report, "README", tmp_path / "README.md")
        (tmp_path / "README.md").write_text(f"# scINN\n\n{cost_report.BEGIN}\nold\n{cost_report.END}\nrest\n")
        cost_report.main()
        return (tmp_path / "speed.md").read_text(encoding="utf-8").splitlines()

    return write


def test_the_page_says_what_is_reached_and_what_is_not(lines, tmp_path):
    page = lines(RECORDS)
    table = {
        cells[1].strip(): [cell.strip() for cell in cells[2:6]]
        for cells in (line.split("|") for line in page[5:])
        if len(cells) > 5
    }
    assert table["apply, against onnxruntime alone; 2 threads, genes in the model's order"][1:3] == [
        "0.85 (0.80–0.90), best 0.86",
        "yes",
    ]
    assert table["onnxruntime alone, against the products; 2 threads"][2] == "**no**"
    assert table["a new batch of 1,000 × 12,000, 2 threads, file to file: against MAGIC"][1:3] == [
        "40 × (39–41); with imports 15 × (14–16)",
        "yes",
    ]
    assert table["peak memory of it, against MAGIC"][1:3] == ["0.10 (300 MB and 3,000 MB)", "yes"]
    assert table["its growth; zarr"][1:3] == ["1.50 ×", "**no**"]
    assert table["`apply` to zarr, 20 runs with 23 kills in all, and `--resume`"][2] == "**no**"
    assert table["`fit`, 10,000 cells × 2,000 genes"] == [
        "–",
        "2.0 minutes, 900 MB, 30 epochs",
        "–",
        "`fit_scale.py`",
    ]
    assert table["`fit`, 100,000 cells × 2,000 genes"][1:3] == ["40.0 minutes, 4,100 MB, 10 epochs", "**no**"]
    assert table["its time for each cell, of 100,000 cells against 10,000"][1:3] == [
        "2.00 ×, with 10 epochs against 30",
        "**no**",
    ]
    assert any(line.startswith("- **its growth; zarr**: ") for line in page)
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# scINN\n\n<!-- cost: begin -->\n\n| ")
    assert "40 × (39–41); with imports" in readme
    assert "old" not in readme
    assert "its growth" not in readme
    assert readme.endswith("|\n\n<!-- cost: end -->\nrest\n")
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_not_measured_is_left_out(lines, tmp_path):
    page = "\n".join(lines({}))
    assert "MAGIC" not in page.partition("Ratios are")[0]
    assert "cost-apply.png" not in page
    assert not (tmp_path / "bars.png").exists()


def test_fits_that_saw_their_cells_less_often_or_had_to_wait_are_told(lines):
    page = " ".join(lines(RECORDS))
    assert "100,000 in 10 epochs, 10,000 in 30." in page
    assert "For each cell and epoch it is 6.00 × the time and 3.75 × the CPU seconds." in page
    assert "200 in 120 at 10,000 cells. It was 2,500 in 2,400 at 100,000 cells" in page
    alone = RECORDS["fit_scale"]["runs"][0] | {"cells": 100_000}
    scale = {**RECORDS["fit_scale"], "runs": [RECORDS["fit_scale"]["runs"][0], alone]}
    assert "was not idle in all" not in " ".join(lines({**RECORDS, "fit_scale": scale}))


@pytest.mark.parametrize(
    ("found", "told"), [((2.63, 2.62, 2.81), "2.6 × (2.6–2.8)"), ((63.1, 55.2, 64.4), "63 × (55–64)")]
)
def test_a_small_ratio_has_a_decimal(found, told):
    assert cost_report._times(dict(zip(("median", "lowest", "highest"), found, strict=True))) == told


def test_the_picture_has_a_point_for_each_way(monkeypatch):
    monkeypatch.setattr(record, "read", lambda name: RECORDS.get(name, {}))
    assert {label: rate for label, (_, rate) in cost_report.throughput().items()} == {
        "products alone": 100,
        "onnxruntime alone": 50,
        "scINN, file to memory": 25,
        "scINN, file to file": 1000,
        "MAGIC, file to file": 25,
    }
