"""RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR: images of another size, codes of the same scale."""

import numpy as np

from lessons_lib.run.engine.integer_graph import Operator, refuse, require_room


def resize_nearest_neighbor(op: Operator, x, size):
    """RESIZE_NEAREST_NEIGHBOR: each pixel is that of the place nearest to it."""
    require_room(op.name, len(x), *size, x.shape[3])
    rows, columns = (
        nearest(op, length, int(wanted)) for length, wanted in zip(x.shape[1:3], size, strict=True)
    )
    return np.take(np.take(x, rows, axis=1), columns, axis=2)


def nearest(op: Operator, length: int, wanted: int) -> np.ndarray:
    """Return the place of ``length`` that each of the ``wanted`` places takes its code from."""
    aligned = op.options.alignCorners and wanted > 1
    scale = np.float32(length - aligned) / np.float32(wanted - aligned)
    offset = np.float32(0.5 if op.options.halfPixelCenters else 0)
    places = (np.arange(wanted, dtype=np.float32) + offset) * scale
    down = np.floor(places + np.float32(0.5)) if op.options.alignCorners else np.floor(places)
    return down.astype(np.int64).clip(0, length - 1)


def resize_bilinear(op: Operator, x, size):
    """RESIZE_BILINEAR: the mean of the four pixels around each place, by how near they are."""
    require_room(op.name, len(x), *size, x.shape[3])
    if x.dtype == np.uint8 and not op.by_xnnpack:
        return _bilinear_floats(op, x, size)
    bits, places = (11, _places_xnnpack) if op.by_xnnpack else (10, places_between)
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


def places_between(op: Operator, length: int, wanted: int):
    """Return the pixels before and after each place, and how near the second is, in 1,024ths."""
    aligned = int(op.options.alignCorners and wanted > 1)
    step = ((length - aligned) * 1024 + (wanted - aligned) // 2) // (wanted - aligned)
    places = np.arange(wanted) * step
    if op.options.halfPixelCenters:
        places += step // 2 - 512
    before = np.maximum(places // 1024, 0)  # -512 is rounded towards zero, and cut there
    after = np.minimum((places + 1023) // 1024, length - 1)
    return before, np.maximum(after, 0), places - 1024 * before


def _bilinear_floats(op: Operator, x, size):
    """LiteRT's two ways for uint8, which differ in the order in which float32 is multiplied."""
    factors = {int(wanted) / length for wanted, length in zip(size, x.shape[1:3], strict=True)}
    eight = factors == {8} and op.options.halfPixelCenters and x.shape[3] % 8 == 0
    if op.kernels == "builtin" and eight:
        refuse(op, "has an arithmetic of its own for images that become eight times as large")
    (top, bottom, low), (left, right, far) = (
        _places_float(op, length, int(wanted))
        for length, wanted in zip(x.shape[1:3], size, strict=True)
    )
    low, far, total = low[:, None, None], far[None, :, None], np.float32(0)
    one = np.float32(1)
    corners = [(top, left, one - low, one - far), (bottom, left, low, one - far),
               (top, right, one - low, far), (bottom, right, low, far)]  # fmt: skip
    if op.kernels == "builtin":
        corners[1:3] = corners[2:0:-1]
    for rows, columns, down, across in corners:
        codes = np.take(np.take(x, rows, axis=1), columns, axis=2).astype(np.float32)
        part = codes * (down * across) if op.kernels == "builtin" else codes * down * across
        total = total + part
    return (total + np.float32(0.5)).astype(op.output.dtype)


def _places_float(op: Operator, length: int, wanted: int):
    """The pixels before and after each place, and how far it is from the first, in float32."""
    aligned = int(op.options.alignCorners and wanted > 1)
    scale = np.float32(length - aligned) / np.float32(wanted - aligned)
    places = np.arange(wanted, dtype=np.float32)
    half = np.float32(0.5) if op.options.halfPixelCenters else np.float32(0)
    places = (places + half) * scale - half
    before = np.maximum(np.floor(places).astype(np.int64), 0)
    after = np.minimum(np.ceil(places).astype(np.int64), length - 1)
    return before, after, places - before.astype(np.float32)


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
