"""A small safetensors reader and writer in numpy, independent of the program under test.

Values travel as float64 (or int64 and bool for buffers); every conversion to a stored
dtype rounds exactly once, to nearest even. The reader is strict: a file that breaks the
container's rules raises FormatError.
"""

import json
import os
import struct

import numpy as np

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the bit pattern
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("u1"),
    # Their codes.
    "F8_E4M3": np.dtype("u1"),
    "F8_E5M2": np.dtype("u1"),
    "F8_E8M0": np.dtype("u1"),
}
FLOATS = ("F64", "F32", "F16", "BF16")
MAX_HEADER = 100_000_000
INDEX = "model.safetensors.index.json"


class FormatError(Exception):
    pass


# --- bf16 -----------------------------------------------------------------------------


def bf16_to_f32(bits):
    wide = np.asarray(bits, dtype=np.uint16).astype(np.uint32)
    return np.asarray(np.left_shift(wide, np.uint32(16))).view(np.float32)


def f32_to_bf16(values):
    """float32 -> bf16 bit patterns, to nearest even. Finite values and infinities only."""
    bits = np.asarray(values, dtype=np.float32, order="C").view(np.uint32)
    one, half = np.uint32(1), np.uint32(0x7FFF)
    up = ((bits >> np.uint32(16)) & one) + half
    return np.asarray((bits + up) >> np.uint32(16)).astype(np.uint16)


def f64_to_bf16(values):
    """float64 -> bf16 bit patterns, rounded once, to nearest even.

    Going through float32 would round twice. Rounding to odd there keeps what the second
    rounding has to know: float32 has more than two bits more than bf16.
    """
    x = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        f = np.ascontiguousarray(x.astype(np.float32))
    shape = x.shape
    bits = f.reshape(-1).view(np.uint32).copy()
    wide = f.reshape(-1).astype(np.float64)
    flat = x.reshape(-1)
    inexact = wide != flat
    beyond = inexact & (np.abs(wide) > np.abs(flat))
    bits[beyond] -= 1  # sign and magnitude: one step towards zero
    bits[inexact] |= 1
    return f32_to_bf16(bits.view(np.float32)).reshape(shape)


def encode(values, dtype):
    """float64 (or integer) values -> array of the stored type."""
    if dtype == "BF16":
        return f64_to_bf16(values)
    with np.errstate(over="ignore", under="ignore"):
        return np.ascontiguousarray(np.asarray(values).astype(DTYPES[dtype]))


def decode(stored, dtype):
    """Array of the stored type -> float64 for floats, the type itself for the rest."""
    if dtype == "BF16":
        return bf16_to_f32(stored).astype(np.float64)
    if dtype in FLOATS:
        return stored.astype(np.float64)
    return stored


def ulp(values, dtype):
    """Distance between neighbours of `dtype` at |values| (of the binade that they are in)."""
    bits, least = {
        "BF16": (8, -133),
        "F16": (11, -24),
        "F32": (24, -149),
        "F64": (53, -1074),
    }[dtype]
    values = np.abs(np.asarray(values, dtype=np.float64))
    _, exponent = np.frexp(values)
    exponent = np.where(values == 0.0, -2000, exponent)
    return np.ldexp(1.0, np.maximum(exponent - bits, least))


# --- reading --------------------------------------------------------------------------


class Entry:
    """One tensor: where its bytes lie."""

    __slots__ = ("name", "dtype", "shape", "path", "offset", "size")

    def __init__(self, name, dtype, shape, path, offset, size):
        self.name, self.dtype, self.shape = name, dtype, tuple(shape)
        self.path, self.offset, self.size = path, offset, size

    @property
    def count(self):
        return int(np.prod(self.shape, dtype=np.int64)) if self.shape else 1


def _no_duplicates(pairs):
    keys = [key for key, _ in pairs]
    if len(keys) != len(set(keys)):
        raise FormatError("duplicate key in %r" % sorted(keys))
    return dict(pairs)


def read_header(path):
    """Returns (entries by name in file order, metadata). Checks coverage without holes."""
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        prefix = f.read(8)
        if len(prefix) < 8:
            raise FormatError("%s: %d bytes" % (path, size))
        (length,) = struct.unpack("<Q", prefix)
        if length > MAX_HEADER or 8 + length > size:
            raise FormatError("%s: header of %d bytes in a file of %d" % (path, length, size))
        head = json.loads(f.read(length).decode("utf-8"), object_pairs_hook=_no_duplicates)
    metadata = head.pop("__metadata__", {})
    entries = []
    for name, item in head.items():
        if set(item) != {"dtype", "shape", "data_offsets"}:
            raise FormatError("%s: %s: keys %s" % (path, name, sorted(item)))
        begin, end = item["data_offsets"]
        entry = Entry(name, item["dtype"], item["shape"], path, 8 + length + begin, end - begin)
        if entry.count * DTYPES[entry.dtype].itemsize != entry.size:
            raise FormatError("%s: %s: size %d" % (path, name, entry.size))
        entries.append(entry)
    entries.sort(key=lambda e: (e.offset, e.size, e.name))
    at = 8 + length
    for entry in entries:
        if entry.offset != at:
            raise FormatError("%s: %s begins at %d, not %d" % (path, entry.name, entry.offset, at))
        at += entry.size
    if at != size:
        raise FormatError("%s: %d bytes, tensors end at %d" % (path, size, at))
    return {e.name: e for e in entries}, metadata


class Checkpoint:
    """A folder in Hugging Face layout. Holds headers; data is read on demand."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.tensors = {}
        self.files = []
        self.index = None
        index = os.path.join(self.folder, INDEX)
        if os.path.exists(index):
            with open(index, encoding="utf-8") as f:
                self.index = json.load(f, object_pairs_hook=_no_duplicates)
            weight_map = self.index["weight_map"]
            for name in sorted(set(weight_map.values())):
                found, _ = read_header(os.path.join(self.folder, name))
                for tensor in found:
                    if weight_map.get(tensor) != name:
                        raise FormatError("%s: %s is not in the index" % (name, tensor))
                self.tensors.update(found)
                self.files.append(name)
            if set(self.tensors) != set(weight_map):
                raise FormatError("%s: %s" % (index, set(weight_map) ^ set(self.tensors)))
        else:
            self.tensors, _ = read_header(os.path.join(self.folder, "model.safetensors"))
            self.files.append("model.safetensors")

    def raw(self, name):
        entry = self.tensors[name]
        with open(entry.path, "rb") as f:
            f.seek(entry.offset)
            data = f.read(entry.size)
        return np.frombuffer(data, dtype=DTYPES[entry.dtype]).reshape(entry.shape)

    def values(self, name):
        """float64 for float tensors, the stored type for the rest."""
        return decode(self.raw(name), self.tensors[name].dtype)


# --- writing --------------------------------------------------------------------------


def header_bytes(specs, metadata=None, align=8):
    """specs: (name, dtype, shape) in file order. Returns prefix and JSON."""
    head = {} if metadata is None else {"__metadata__": metadata}
    at = 0
    for name, dtype, shape in specs:
        size = int(np.prod(shape, dtype=np.int64)) if len(shape) else 1
        size *= DTYPES[dtype].itemsize
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head, separators=(",", ":")).encode("utf-8")
    text += b" " * (-(8 + len(text)) % align)
    return struct.pack("<Q", len(text)) + text


class StreamWriter:
    """A sharded checkpoint written front to back: begins with all specs known, then takes
    bytes in their order. Never holds a tensor."""

    def __init__(self, folder, specs, shards=1):
        os.makedirs(folder, exist_ok=True)
        self.folder = str(folder)
        total = sum(self._size(s) for s in specs)
        groups, filled = [[]], 0
        for spec in specs:
            if filled >= total * len(groups) / shards and groups[-1] and len(groups) < shards:
                groups.append([])
            groups[-1].append(spec)
            filled += self._size(spec)
        if len(groups) == 1:
            names = ["model.safetensors"]
        else:
            names = ["model-%05d-of-%05d.safetensors" % (i + 1, len(groups))
                     for i in range(len(groups))]
        self._queue = list(zip(names, groups))
        self._left = 0
        self._file = None
        self._advance()
        if len(groups) > 1:
            index = {
                "metadata": {"total_size": total},
                "weight_map": {s[0]: n for n, g in zip(names, groups) for s in g},
            }
            with open(os.path.join(folder, INDEX), "w", encoding="utf-8") as f:
                json.dump(index, f, indent=2)

    @staticmethod
    def _size(spec):
        count = int(np.prod(spec[2], dtype=np.int64)) if len(spec[2]) else 1
        return count * DTYPES[spec[1]].itemsize

    def _advance(self):
        while self._left == 0 and self._queue:
            if self._file:
                self._file.close()
            name, specs = self._queue.pop(0)
            self._file = open(os.path.join(self.folder, name), "wb")
            self._file.write(header_bytes(specs, {"format": "pt"}))
            self._left = sum(self._size(s) for s in specs)

    def write(self, stored):
        data = np.ascontiguousarray(stored)
        if data.nbytes == 0:
            return
        self._advance()
        if data.nbytes > self._left:
            raise FormatError("%d bytes do not fit in the %d left" % (data.nbytes, self._left))
        self._file.write(data.reshape(-1).view(np.uint8).data)
        self._left -= data.nbytes

    def close(self):
        self._advance()
        if self._left or self._queue:
            raise FormatError("%s: %d bytes are missing" % (self.folder, self._left))
        self._file.close()


def save(folder, tensors, shards=1, config=None):
    """tensors: name -> (dtype, values). Values are float64, integer or bool arrays."""
    specs = [(name, dtype, np.shape(values)) for name, (dtype, values) in tensors.items()]
    writer = StreamWriter(folder, specs, shards)
    for _, (dtype, values) in tensors.items():
        writer.write(encode(values, dtype))
    writer.close()
    if config is not None:
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f, indent=2)
