"""The page of a fit: how the training went, what the cells look like before and after, how it was made."""

from __future__ import annotations

from scinn_train.fit_report.writing import write_fit_page

__all__ = ["write_fit_page"]
