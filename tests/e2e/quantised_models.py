"""Weights that are stored in few bits with a scale a block, in numpy: made, and decoded by the
formulas of the formats, one product in float32 an element."""

import numpy as np

import stio


def _table(exponents, mantissas):
    """Every code of a binary format of one sign bit, as the specifications have it."""
    values = []
    bias = 2 ** (exponents - 1) - 1
    for code in range(2 ** (1 + exponents + mantissas)):
        fraction = code % 2 ** mantissas / 2 ** mantissas
        exponent = code // 2 ** mantissas % 2 ** exponents
        size = 2.0 ** (1 - bias) * fraction if exponent == 0 else \
            2.0 ** (exponent - bias) * (1 + fraction)
        values.append(-size if code >= 2 ** (exponents + mantissas) else size)
    return np.array(values, np.float32)


TABLES = {"F8_E4M3": _table(4, 3), "F8_E5M2": _table(5, 2), "F4": _table(2, 1)}
TABLES["F8_E4M3"][[0x7F, 0xFF]] = np.nan
TABLES["F8_E5M2"][[0x7C, 0x7D, 0x7E, 0x7F, 0xFC, 0xFD, 0xFE, 0xFF]] = np.nan


def codes_near(values, dtype):
    """The code of the nearest number of the format, for each value."""
    table = TABLES[dtype]
    order = np.argsort(table, kind="stable")
    order = order[np.isfinite(table[order])]
    sorted_values = table[order]
    at = np.clip(np.searchsorted(sorted_values, values), 1, len(order) - 1)
    below = np.abs(values - sorted_values[at - 1]) <= np.abs(sorted_values[at] - values)
    return order[np.where(below, at - 1, at)].astype(np.uint8)


def codes_even(values, dtype):
    """The same for float32, of two that are as near the even code, and saturated."""
    table = TABLES[dtype]
    half = len(table) // 2
    sizes = table[:half][np.isfinite(table[:half])].astype(np.float64)  # ascending
    wanted = np.minimum(np.abs(values).astype(np.float64), sizes[-1])
    above = np.clip(np.searchsorted(sizes, wanted), 1, len(sizes) - 1)
    down, up = wanted - sizes[above - 1], sizes[above] - wanted
    lower = (down < up) | ((down == up) & ((above - 1) % 2 == 0))
    codes = np.where(lower, above - 1, above)
    return (codes + np.where(np.signbit(values), half, 0)).astype(np.uint8)


def _written_scale(most, dtype, scale_type, powers):
    """A block's scale as it is stored, by FORMAT.md."""
    if dtype == "F4":
        power = -127 if most == 0 else np.floor(np.log2(np.float64(most))) - 2
        return np.uint8(np.clip(power, -127, 127) + 127)
    largest = np.float32(np.nanmax(TABLES[dtype][np.isfinite(TABLES[dtype])]))
    scale = np.float32(1) if most == 0 else np.float32(most) / largest
    power = np.ceil(np.log2(np.float64(scale)))
    if scale_type in ("F8_E8M0", "U8"):
        return np.uint8(power + 127)
    return stio.encode(np.ldexp(1.0, int(power)) if powers else np.float64(scale), scale_type)


def written(merged, codes, stored, blocks, dtype="F8_E4M3", scale_type="F32", powers=False,
            decoded="BF16"):
    """(codes, stored scales) of merged float32 matrices, where the base has `codes` and `stored`:
    rows and columns as the file has them, codes one a value."""
    shape = merged.shape
    rows, cols = [shape[-2] if blocks[0] is None else blocks[0],
                  shape[-1] if blocks[1] is None else blocks[1]]
    exact = scale_values(stored, scale_type).reshape(
        shape[:-2] + (-(-shape[-2] // rows), -(-shape[-1] // cols)))
    was = (TABLES[dtype][codes] * spread(exact, shape, rows, cols)).astype(np.float32)
    was = stio.decode(stio.encode(was.astype(np.float64), decoded), decoded).astype(np.float32)
    codes, scales = codes.copy(), np.array(stored).reshape(exact.shape).copy()
    for at in np.ndindex(*exact.shape):
        block = at[:-2] + (slice(at[-2] * rows, (at[-2] + 1) * rows),
                           slice(at[-1] * cols, (at[-1] + 1) * cols))
        values = merged[block].astype(np.float32)
        if np.array_equal(values.view(np.uint32), was[block].view(np.uint32)):
            continue
        scales[at] = _written_scale(np.abs(values).max(), dtype, scale_type, powers)
        scale = scale_values(scales[at], scale_type)
        codes[block] = codes_even((values / scale).astype(np.float32), dtype)
    return codes, scales.reshape(np.array(stored).shape)


def spread(scales, shape, rows, cols):
    """The scale of every element of matrices, of one a block."""
    wide = np.repeat(np.repeat(scales, rows, axis=-2), cols, axis=-1)
    return wide[..., :shape[-2], :shape[-1]]


def scale_values(stored, dtype):
    """float32."""
    if dtype in ("F8_E8M0", "U8"):
        return np.ldexp(np.float32(1), stored.astype(np.int32) - 127).astype(np.float32)
    return stio.decode(stored, dtype).astype(np.float32)


def fp8(values, dtype="F8_E4M3", blocks=(128, 128), scale_type="F32"):
    """(codes, stored scales, what they are decoded to, float32) of a matrix, or matrices."""
    shape = values.shape
    rows, cols = [shape[-2] if blocks[0] is None else blocks[0],
                  shape[-1] if blocks[1] is None else blocks[1]]
    down, across = -(-shape[-2] // rows), -(-shape[-1] // cols)
    most = np.zeros(shape[:-2] + (down, across))
    for i in range(down):
        for j in range(across):
            block = values[..., i * rows:(i + 1) * rows, j * cols:(j + 1) * cols]
            most[..., i, j] = np.abs(block).max(axis=(-1, -2))
    scales = np.where(most == 0, 1, most / np.nanmax(TABLES[dtype]))
    if scale_type == "F8_E8M0":
        stored = (np.ceil(np.log2(scales)) + 127).astype(np.uint8)
    else:
        stored = stio.encode(scales, scale_type)
    exact = scale_values(stored, scale_type)
    each = spread(exact, shape, rows, cols)
    codes = codes_near(values / each, dtype)
    return codes, stored, (TABLES[dtype][codes] * each).astype(np.float32)


def mxfp4(values):
    """(codes, scales as bytes, decoded) along the last side, which is of blocks of 32."""
    blocks = values.reshape(values.shape[:-1] + (-1, 32))
    most = np.abs(blocks).max(axis=-1)
    power = np.where(most == 0, 0, np.floor(np.log2(np.where(most == 0, 1, most))) - 2)
    scales = (power + 127).astype(np.uint8)
    each = scale_values(scales, "U8")[..., None]
    codes = codes_near(blocks / each, "F4")
    decoded = (TABLES["F4"][codes] * each).astype(np.float32)
    return codes.reshape(values.shape), scales, decoded.reshape(values.shape)


def pairs(codes):
    """Two codes a byte, the lower half first."""
    return (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8)


def bf16(values):
    """float64 values of bfloat16."""
    return stio.decode(stio.f32_to_bf16(values), "BF16")


def stored(dtype, array):
    """What stio.save takes of an array that is as it is stored."""
    return dtype, stio.decode(array, dtype)
