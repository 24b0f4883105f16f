"""NIfTI files written byte for byte, with headers that no library would write, for tests of their readers."""

import gzip
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np

SHAPE, ZOOMS = (7, 6, 5), (1.0, 1.5, 3.0)
QFORM, SFORM = (10.0, (1.0, 2.0, 3.0)), (30.0, (10.0, 20.0, 30.0))
"""Angle about z in degrees and the first voxel's place in mm, (x, y, z) to Right, Anterior, Superior."""


class Header(NamedTuple):
    """One header of the table.

    Args:
        name: What is odd about it.
        fields: Of the header, beside those of a plain one.
        shape: Voxels (x, y, z, ...).
        dtype: Of the voxels.
    """

    name: str
    fields: dict[str, Any]
    shape: tuple[int, ...] = SHAPE
    dtype: str = "<i2"


def turn(degrees, mirrored=False):
    """Rotation about z, and the first axis mirrored."""
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return matrix @ np.diag([-1 if mirrored else 1, 1, 1])


def sform(code, matrix=None, offset=SFORM[1], zooms=ZOOMS):
    """Fields of an sform: by default another place and turn than the qform's."""
    rows = (turn(SFORM[0]) if matrix is None else matrix) * np.array(zooms)
    return {
        "sform_code": code,
        **{f"srow_{axis}": [*rows[row], offset[row]] for row, axis in enumerate("xyz")},
    }


def qform(code, degrees=QFORM[0], offset=QFORM[1], qfac=1.0):
    """Fields of a qform."""
    return {
        "qform_code": code,
        "quatern_d": np.sin(np.deg2rad(degrees) / 2),
        **{f"qoffset_{axis}": offset[row] for row, axis in enumerate("xyz")},
        "qfac": qfac,
    }


def write(path: Path, header: Header) -> Path:
    """Write a file of ascending voxels."""
    order = ">" if header.dtype.startswith(">") else "<"
    block: Any = nibabel.Nifti1Header(endianness=order)
    block["dim"][:] = 1
    block["dim"][: len(header.shape) + 1] = (len(header.shape), *header.shape)
    block["pixdim"][1:4] = ZOOMS
    block.set_data_dtype(np.dtype(header.dtype))
    block["xyzt_units"] = 2
    for name, value in header.fields.items():
        if name == "qfac":
            block["pixdim"][0] = value
        elif name == "zooms":
            block["pixdim"][1:4] = value
        elif name == "dim":
            block["dim"][: len(value)] = value
        else:
            block[name] = value
    block["magic"] = header.fields.get("magic", b"n+1")
    block["vox_offset"] = header.fields.get("vox_offset", 352)
    voxels = (np.arange(np.prod(header.shape)) % 120).astype(header.dtype)
    content = block.binaryblock + bytes(4) + voxels.tobytes()
    path.write_bytes(gzip.compress(content) if path.name.lower().endswith(".gz") else content)
    return path


def skew(amount):
    matrix = np.eye(3)
    matrix[0, 1] = amount
    return turn(SFORM[0]) @ matrix


SFORMS = {
    "apart": {},
    "alike": {"matrix": turn(QFORM[0]), "offset": QFORM[1]},
    "scaled": {"zooms": np.array(ZOOMS) * 1.1},
    "scaled by axis": {"zooms": np.array(ZOOMS) * [1.2, 0.9, 1]},
    "rounded": {"matrix": skew(5e-5)},
    "skewed": {"matrix": skew(1e-3)},
    "sheared": {"matrix": skew(0.3)},
    "mirrored": {"matrix": turn(SFORM[0], mirrored=True)},
    "empty": {"matrix": np.zeros((3, 3))},
    "flat": {"matrix": turn(SFORM[0]) @ np.diag([1, 1, 0])},
    "permuted": {"matrix": np.eye(3)[[2, 0, 1]]},
}
BY_CODE = {"no code": {}, "qform": qform(1), "sform": sform(2)}
TRUSTED = {"qform": qform(1), "sform": sform(2), "both": {**qform(1), **sform(1)}}
NAN, INF = float("nan"), float("inf")


def table() -> list[Header]:
    """Every header whose answer is held beside SimpleITK's."""
    rows = [
        Header(f"qform {q}, sform {s} {name}", {**qform(q), **sform(s, **given)})
        for q, s, (name, given) in itertools.product((0, 1, 4), (0, 1, 2, 4), SFORMS.items())
    ]
    rows += [
        Header(f"unit {unit} {name}", {"xyzt_units": unit, **codes})
        for unit, (name, codes) in itertools.product((0, 1, 2, 3, 4, 7, 8, 10, 11, 25), BY_CODE.items())
    ]
    odd = [(0, 1, 1), (-1, 1.5, 3), (1, 1.5, -3), (NAN, 1.5, 3), (1, INF, 3), (1e-3, 1, 1), (1, 1, 200)]
    rows += [
        Header(f"pixdim {zooms} {name}", {**codes, "zooms": zooms})
        for zooms, (name, codes) in itertools.product(odd, (*BY_CODE.items(), ("both", TRUSTED["both"])))
    ]
    rows += [Header(f"qfac {qfac}", qform(1, qfac=qfac)) for qfac in (-1, 0, 1, 2, -3, 0.5, NAN)]
    longer = [(0, 0, 1.0000005), (0, 0, 1.01), (0, 0, 2), (0.6, 0.6, 0.6), (0.577, 0.577, 0.578), (1, 0, 0)]
    rows += [
        Header(
            f"quaternion {parts}",
            {**qform(1), **dict(zip(("quatern_b", "quatern_c", "quatern_d"), parts, strict=True))},
        )
        for parts in (*longer, (NAN, 0, 0), (0, 0, 0), (0.1, -0.2, 0.3))
    ]
    slopes = [
        (0, 5),
        (2, 0),
        (0.5, 3),
        (1, -1024),
        (NAN, 0),
        (1, NAN),
        (INF, 0),
        (-1, 0),
        (1e-20, 2),
        (2, NAN),
    ]
    rows += [
        Header(
            f"slope {pair} {dtype} {name}", {**codes, "scl_slope": pair[0], "scl_inter": pair[1]}, dtype=dtype
        )
        for pair, dtype, (name, codes) in itertools.product(
            slopes, ("<i2", "<f4"), (("no code", {}), ("qform", qform(1)))
        )
    ]
    rows += [
        Header(f"type {dtype}", qform(1), dtype=dtype)
        for dtype in (f"{order}{kind}" for order in "<>" for kind in (*"bBhHiIqQfd",))
    ]
    shapes = [(7, 6, 1), (7, 1, 1), (1, 1, 1), (7, 6, 5, 1), (7, 6, 5, 1, 1), (7, 6, 5, 1, 1, 1, 1)]
    rows += [Header(f"shape {shape}", qform(1), shape) for shape in shapes]
    rows += [
        Header(f"dim {dim}", {**qform(1), "dim": dim}) for dim in ((3, 7, 6, 5, 9, 9), (5, 7, 6, 5, 0, 0))
    ]
    rows += [
        Header(f"intent {intent}", {**qform(1), "intent_code": intent})
        for intent in (0, 5, 1001, 1002, 1003, 1007, 1008, 1011, 2001)
    ]
    rows += [Header(f"magic {magic!r}", {**qform(1), "magic": magic}) for magic in (b"n+1", b"ni1", b"n+2")]
    rows += [Header(f"bitpix {bits}", {**qform(1), "bitpix": bits}) for bits in (0, 8, 99)]
    return rows


def vectors() -> list[Header]:
    """Channels behind the space axes, as several programs write them; two of each."""
    return [
        Header("ITK's vector", {**qform(1), "intent_code": 1007}, (7, 6, 5, 1, 2)),
        Header("a fifth axis", qform(1), (7, 6, 5, 1, 2)),
        Header("a fourth axis", qform(1), (7, 6, 5, 2)),
        Header("a fourth axis and ones", qform(1), (7, 6, 5, 2, 1, 1)),
        Header("a sixth axis", qform(1), (7, 6, 5, 1, 1, 2)),
        Header("a vector of one slice", {**qform(1), "intent_code": 1007}, (7, 6, 1, 1, 2)),
    ]
