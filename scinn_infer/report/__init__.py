"""Pages that people look at: one self-contained HTML file each, which loads nothing from anywhere.

``request`` says what is wanted and refuses early; ``page`` is the skeleton; ``sample`` keeps a bounded number of cells
while a batch streams by; the modules beside them draw one group of figures each, and ``apply_page`` puts the page of an
imputed batch together. bokeh and jinja2 are needed once a page is asked for, not before.
"""

from __future__ import annotations

from scinn_infer.report.request import ReportRequest
from scinn_infer.report.writing import write

__all__ = ["ReportRequest", "write"]
