"""RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR: images of another size, codes of the same scale."""

import numpy as np

from lessons_lib.run.engine.integer_graph import Operator, refuse, require_room


def resize_nearest_neighbor(op: Operator, x, size):
    """RESIZE_NEAREST_NEIGHBOR: each pixel is that of the place nearest to it."""
    require_room(op.name, len(x), *size, x.shape[3])
    rows, columns = (
        _nearest(op, length, int(wanted)) for length, wanted in zip(x.shape[1:3], size, strict=True)
    )
    return np.take(np.take(x, rows, axis=1), columns, axis=2)


def _nearest(op: Operator, length: int, wanted: int) -> np.ndarray:
    aligned = op.options.alignCorners and wanted > 1
    scale = np.float32(length - aligned) / np.float32(wanted - aligned)
    offset = np.float32(0.5 if op.options.halfPixelCenters else 0)
    places = (np.arange(wanted, dtype=np.float32) + offset) * scale
    down = np.floor(places + np.float32(0.5)) if op.options.alignCorners else np.floor(places)
    return down.astype(np.int64).clip(0, length - 1)


def resize_bilinear(op: Operator, x, size):
    """RESIZE_BILINEAR: the mean of the four pixels around each place, by how near they are."""
    require_room(op.name, len(x), *size, x.shape[3])
    short = x.dtype == np.int16
    if not short and (
        op.kernels == "builtin" or (op.kernels == "reference" and x.dtype == np.uint8)
    ):
        refuse(op, f"adds floats for {x.dtype}")
    bits, places = (11, _places_xnnpack) if op.by_xnnpack else (10, _places)
    for axis, wanted in enumerate(size, start=1):
        before, after, weight = places(op, x.shape[axis], int(wanted))
        weight = weight.reshape(-1, *[1] * (x.ndim - axis - 1))
        first, second = (np.take(x, place, axis=axis).astype(np.int64) for place in (before, after))
        x = (first << bits) + (second - first) * weight
    half = 1 << (2 * bits - 1)
    if op.by_xnnpack:
        return ((x + half) >> (2 * bits)).astype(op.output.dtype)
    signs = np.where(x > 0, 1, -1)
    return (signs * ((np.abs(x) + half) >> (2 * bits))).astype(op.output.dtype)


def _places(op: Operator, length: int, wanted: int):
    """The pixels before and after each place, and how near the second is, in 1,024ths."""
    aligned = int(op.options.alignCorners and wanted > 1)
    step = ((length - aligned) * 1024 + (wanted - aligned) // 2) // (wanted - aligned)
    places = np.arange(wanted) * step
    if op.options.halfPixelCenters:
        places += step // 2 - 512
    before = np.maximum(places // 1024, 0)  # -512 is rounded towards zero, and cut there
    after = np.minimum((places + 1023) // 1024, length - 1)
    return before, np.maximum(after, 0), places - 1024 * before


def _places_xnnpack(op: Operator, length: int, wanted: int):
    """The same by XNNPACK: places in float32, nearness in 2,048ths."""
    aligned = int(op.options.alignCorners and wanted > 1)
    scale = np.float32(length - aligned) / np.float32(wanted - aligned)
    places = np.arange(wanted, dtype=np.float32) * scale
    if op.options.halfPixelCenters and not op.options.alignCorners:
        places = places + (np.float32(0.5) * scale - np.float32(0.5))
    places = places.clip(0, length - 1)
    before = places.astype(np.int64)
    weight = np.rint((places - before.astype(np.float32)) * np.float32(2048)).astype(np.int64)
    return before, np.minimum(before + 1, length - 1), weight
