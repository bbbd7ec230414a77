"""Results in files: a copy of the input with one more layer, as ``.h5ad`` or as a zarr store, whole or not at all."""

from scinn_infer.outputs.result import (
    begin_result,
    check_key,
    check_place,
    is_zarr,
    read_quality,
    result_bytes,
    write_result,
)

__all__ = ["begin_result", "check_key", "check_place", "is_zarr", "read_quality", "result_bytes", "write_result"]
