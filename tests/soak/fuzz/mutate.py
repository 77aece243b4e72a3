"""One case made of another: files that are wrong in one place get further than random bytes."""

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from soak.fuzz import cases
from soak.fuzz.targets import TARGETS

#: What may stand in a cell of a table.
CELLS = (
    *("0", "1", "2", "-9", "-1", "1e308", "-1e308", "1e-320", "1e999", "nan", "NaN", "NA", "inf"),
    *("", ".", "-", "+1", "1_0", "0x1", "1e", "\u0661", "9" * 19, "9" * 400, "9223372036854775808"),
    *("-9223372036854775808", "0.5", "true", "a,b", '"', "'", "#", "##", "\v", "\x85", "\u2028"),
    *("FID", "IID", "#IID", "é", "\ufeff", "x" * 300, "</script>", "../../x", "%s", "{1:9}", "\0"),
)
#: What may stand in a table of ours.
FIELDS = (
    *(b"NA", b"NA", b"0", b"1", b"2", b"-1", b"0.5", b"1e308", b"-1e308", b"1e-320", b"1e154"),
    *(b"9223372036854775807", b"-9223372036854775808", b"300000000", b"x", b"1.0", b"</script>"),
)
#: Values of JSON.
VALUES = (
    *(None, True, False, 0, 1, -1, 2**63, 10**400, 1.5, 1e308, -1e308, 5e-324, "", "x", "\ud800"),
    *("\0", "NA", "</script>", "x" * 300, [], {}, [[]], [None], [1e308, 1e308], {"": None}),
    *(["x"], {"x": 1}, {"h2": 0.5}, [{}], [1], "0.5", 10**20, float("nan")),
)
NUMBERS = (
    *(0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 1e-320, 1e-40, 1e38, 1e290, 1e308, -1e308, np.nan, np.inf),
)

Change = Callable[[bytes, np.random.Generator], bytes]


def mutate(case: bytes, seed: int, raw: Callable[[bytes], bytes]) -> bytes:
    """Change one file of a case, or a few; `raw` changes bytes of whatever they mean."""
    rng = np.random.default_rng(seed)
    name, files = cases.unpack(case)
    if name not in TARGETS:
        return raw(case)
    target = TARGETS[name]
    n = min(len(files), len(target.files))
    for _ in range(1 + rng.geometric(0.7)):
        k = int(rng.integers(n))
        chance = rng.random()
        if chance < 0.02:
            files[k] = cases.ABSENT if chance < 0.01 else b""
        elif files[k] == cases.ABSENT:
            continue
        elif chance < WILD[target.kinds[k]]:
            files[k] = raw(files[k])
        else:
            try:
                files[k] = KINDS[target.kinds[k]](files[k], rng)
            except Exception:  # not of its kind any more
                files[k] = raw(files[k])
    if rng.random() < 0.5:
        files = _fit_together(name, files, rng)
    return cases.pack(name, files)


def _pick(rng: np.random.Generator, items):
    return items[int(rng.integers(len(items)))]


# ---- one file -----------------------------------------------------------------------------------


def _text(data: bytes, rng: np.random.Generator) -> bytes:
    """A line or a cell of a table, its separators, its encoding or its compression."""
    if data.startswith(b"\x1f\x8b") and rng.random() < 0.8:
        return gzip.compress(_text(gzip.decompress(data), rng), mtime=0)
    lines = data.split(b"\n")
    at = int(rng.integers(len(lines)))
    what = rng.random()
    if what < 0.55:
        cells = re.split(rb"([ \t,=]+)", lines[at])
        k = 2 * int(rng.integers((len(cells) + 1) // 2))
        cells[k] = _cell(data, rng)
        lines[at] = b"".join(cells)
    elif what < 0.65:
        lines.insert(at, _pick(rng, lines))
    elif what < 0.72:
        del lines[at]
    elif what < 0.78:
        cells = re.split(rb"([ \t]+)", lines[at])
        del cells[int(rng.integers(len(cells))) :]
        lines[at] = b"".join(cells)
    elif what < 0.84:
        lines[at] += b"\t" + _cell(data, rng)
    else:
        return _pick(rng, _WHOLE)(data)
    return b"\n".join(lines)


def _cell(data: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.3:
        cells = re.findall(rb"[^\s,=]+", data)
        if cells:
            return _pick(rng, cells)
    return _pick(rng, CELLS).encode()


_WHOLE = (
    lambda data: data.replace(b"\t", b" "),
    lambda data: data.replace(b"\t", b","),
    lambda data: data.replace(b"\n", b"\r\n"),
    lambda data: data.replace(b"\n", b"\r"),
    lambda data: data.replace(b"\n", b"\n\n \t\n"),
    lambda data: b"\xef\xbb\xbf" + data,
    lambda data: data.decode("utf-8", "replace").encode("utf-16"),
    lambda data: gzip.compress(data, mtime=0),
    lambda data: gzip.compress(data, mtime=0)[:-9],
    lambda data: gzip.compress(data, mtime=0) * 2 + b"\0\0",
    lambda data: b"\x28\xb5\x2f\xfd" + data,
    lambda data: data[: len(data) // 2],
    lambda data: data.rstrip(b"\n"),
    lambda data: data * 3,
    lambda data: b"#" + data,
)


def _table(data: bytes, rng: np.random.Generator) -> bytes:
    """A value, a row or a column of a table of ours, which stays one that can be read."""
    rows = [line.split(b"\t") for line in data.rstrip(b"\n").split(b"\n")]
    row, column = int(rng.integers(len(rows))), int(rng.integers(len(rows[0])))
    what = rng.random()
    if what < 0.4:
        rows[row][column] = _pick(rng, FIELDS)
    elif what < 0.6:
        value = _pick(rng, FIELDS) if rng.random() < 0.7 else rows[row][column]
        for other in rows[1:]:
            other[column] = value
    elif what < 0.7:
        rows.insert(max(row, 1), list(_pick(rng, rows[1:] or rows)))
    elif what < 0.8:
        del rows[max(row, 1) :]
    elif what < 0.9:
        del rows[0 if rng.random() < 0.1 else -1]
    else:
        for other in rows:
            del other[column]
    return b"".join(b"\t".join(row) + b"\n" for row in rows)


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes, or a whole number of two or four of them."""
    content = bytearray(data or b"\0")
    width = int(_pick(rng, (1, 1, 2, 4)))
    at = int(rng.integers(len(content)))
    if rng.random() < 0.2:
        return bytes(content[:at])
    number = int(_pick(rng, (0, 1, 2, 3, 127, 128, 255, 2**15, 2**31, 2**32 - 1, len(content))))
    content[at : at + width] = (number % 256**width).to_bytes(width, "little")
    return bytes(content)


def _floats(data: bytes, rng: np.random.Generator) -> bytes:
    values = np.frombuffer(data, "<f4").copy()
    with np.errstate(over="ignore"):
        values[int(rng.integers(len(values)))] = np.float32(_pick(rng, NUMBERS))
    return values.tobytes()


def _json(data: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.03:
        return b"[" * 5_000 if rng.random() < 0.5 else b'{"a":' * 5_000
    return json.dumps(_changed(json.loads(data), rng)).encode()


def _changed(value, rng: np.random.Generator):
    """JSON with one of its values another, twice there or gone."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
        key = _pick(rng, list(value) if isinstance(value, dict) else range(len(value)))
        what = rng.random()
        if what < 0.12:
            del value[key]
        elif what < 0.2:
            other = _pick(rng, list(value) if isinstance(value, dict) else range(len(value)))
            value[key] = value[other]
        else:
            value[key] = _changed(value[key], rng)
        return value
    if isinstance(value, float) and rng.random() < 0.5:
        return float(_pick(rng, NUMBERS))
    return _pick(rng, VALUES)


def _journal(data: bytes, rng: np.random.Generator) -> bytes:
    """A line of a journal, with the checksum that it then has."""
    lines = data.split(b"\n")
    at = int(rng.integers(max(len(lines) - 1, 1)))
    what = rng.random()
    if what < 0.1:
        lines.insert(at, _pick(rng, lines))
    elif what < 0.15:
        del lines[at]
    else:
        content = json.loads(lines[at])
        content.pop("crc32", None)
        body = json.dumps(_changed(content, rng)).encode()[:-1]
        lines[at] = b'%b, "crc32": "%08x"}' % (body, zlib.crc32(body))
    return b"\n".join(lines)


def _array(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An array with another value, shape or type."""
    what = rng.random()
    if what < 0.5 and array.size:
        array = array.copy()
        flat = array.reshape(-1)
        at = int(rng.integers(flat.size))
        if array.dtype.kind == "U":
            text = str(flat[at])
            if text[:1] in "[{" and text:
                text = json.dumps(_changed(json.loads(text), rng))
            else:
                text = _pick(rng, CELLS)
            array = array.astype(f"<U{max(len(text), array.dtype.itemsize // 4, 1)}")
            array.reshape(-1)[at] = text
        elif array.dtype.kind == "f":
            with np.errstate(over="ignore"):  # 1e308 is infinite as a float32
                flat[at] = _pick(rng, NUMBERS)
        else:
            flat[at] = _pick(rng, (0, 1, 2, 100, 255 if array.dtype.itemsize == 1 else 2**31))
        return array
    if what < 0.6:
        other = _pick(rng, ("<f8", "<f4", ">f8", "<i8", "<i4", "u1", "c16", "?", "U3"))
        if array.dtype.kind == "c":
            array = array.real
        with np.errstate(over="ignore", invalid="ignore"):  # NaN and 1e308 as other numbers
            return array.astype(other)
    if what < 0.7:
        return array.reshape(_pick(rng, ((-1,), (1, -1), (-1, 1))))
    if what < 0.8:
        return array[:-1] if array.ndim else array.reshape(1)
    if what < 0.9:
        return np.asfortranarray(np.concatenate([np.atleast_1d(array)] * 2))
    return array.reshape(-1)[:0]


def _npz(data: bytes, rng: np.random.Generator) -> bytes:
    """A member of an .npz, or how it is packed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = _pick(rng, list(members))
    what = rng.random()
    if what < 0.75:
        array = np.lib.format.read_array(io.BytesIO(members[name]), allow_pickle=False)
        out = io.BytesIO()
        np.lib.format.write_array(out, _array(array, rng), allow_pickle=False)
        members[name] = out.getvalue()
    elif what < 0.82:
        members[name] = _npy(members[name], rng)
    elif what < 0.88:
        members[name] = _bytes(members[name], rng)
    elif what < 0.92:
        del members[name]
    out = io.BytesIO()
    packed = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", packed) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, packed)
    return out.getvalue()


def _npy(data: bytes, rng: np.random.Generator) -> bytes:
    """The header or the values of a .npy."""
    file = io.BytesIO(data)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if rng.random() < 0.5:
        array = _array(array, rng)
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    data = out.getvalue()
    if rng.random() < 0.5:
        return data
    header, body = data[10:128], data[128:]
    shape = _pick(
        rng, ("(3,)", "(0, 5)", "(-1, 5)", "(1, 1)", "(4294967296, 4294967296)", "()", "(9, 9, 9)")
    )
    kind = _pick(rng, ("<f8", "<f4", "|i1", "|u1", ">i2", "|b1", "<c8", "<U1", "|V3", "|O", "<m8"))
    field = rng.random()
    if field < 0.4:
        header = re.sub(rb"'shape': \(.*?\)", f"'shape': {shape}".encode(), header)
    elif field < 0.8:
        header = re.sub(rb"'descr': '.*?'", f"'descr': '{kind}'".encode(), header)
    else:
        header = header.replace(b"False", b"True")
    header = header.rstrip(b" \n").ljust(117)[:117] + b"\n"
    return data[:10] + header + body


KINDS: dict[str, Change] = {
    "text": _text,
    "table": _table,
    "bytes": _bytes,
    "floats": _floats,
    "json": _json,
    "journal": _journal,
    "npz": _npz,
    "npy": _npy,
}
#: How often a file of a kind is changed byte by byte: where nearly all of these are refused at the
#: first look, seldom.
WILD = dict.fromkeys(KINDS, 0.1) | {"text": 0.25, "bytes": 0.4, "npy": 0.2}


# ---- several files ------------------------------------------------------------------------------


def _fit_together(name: str, files: list[bytes], rng: np.random.Generator) -> list[bytes]:
    """Give the binary file the size that the texts beside it ask for."""
    if name == "plink":
        n, p = (sum(bool(line.strip()) for line in files[k].split(b"\n")) for k in (0, 1))
        size = (n + 3) // 4 * p
        if 0 < size < 10_000:
            body = (files[2][3:] or b"\0") * (size // max(len(files[2]) - 3, 1) + 1)
            body = np.frombuffer(body[:size], np.uint8).reshape(p, -1).copy()
            body[:, -1] &= 255 >> 2 * (-n % 4)  # padding
            files[2] = b"l\x1b\x01" + body.tobytes()
    if name == "grm":
        n = sum(bool(line.strip()) for line in files[0].split(b"\n"))
        size = n * (n + 1) // 2 * 4
        if 0 < size < 10_000:
            files[1:] = [(body or b"\0") * (size // max(len(body), 1) + 1) for body in files[1:]]
            files[1:] = [body[:size] for body in files[1:]]
    return files
