"""NIfTI (and MGH) files through nibabel's headers, which are kept as bytes, to be written back unchanged."""

import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.freesurfer import mghformat
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES
from ingradient_pl.images import nifti_geometry
from ingradient_pl.images.bounded_files import GZIP, SURPLUS, Extent, read_extent
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.nifti_scaling import scale, slope_of
from ingradient_pl.images.raw_image import ImageError, RawImage
from ingradient_pl.images.voxel_types import to_plain_dtype

SIZE_1, SIZE_2, SIZE_MGH = 348, 540, 284
MAGIC = (b"n+1", b"n+2", b"ni1", b"ni2")
MOST_AXES = 7
PAIR = (".hdr", ".img")
MGH = (".mgz", ".mgh")
TENSORS = {1004: "matrices", 1005: "symmetric matrices", 1006: "displacements"}
"""Intents whose fifth axis is not a row of channels; ITK reads none of them."""

ANALYZE = (
    "an Analyze header does not tell where left and right are; the first voxel was taken to lie right, as "
    "SPM does."
)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHEARED = 1e-4
"""Cosine above which axes are no rotation, and cannot be written as a qform."""

LEVEL = 3
"""Of gzip: label maps come out 10 % larger than at 9, in a fifth of the time."""


def pair_files(path: Path) -> list[Path]:
    """Give .hdr and .img of a pair, whichever of them ``path`` is.

    Args:
        path: Either file of the pair.
    """
    upper = path.suffix.isupper()
    return [path.with_suffix(end.upper() if upper else end) for end in PAIR]


def read(path: Path, channels: int | None) -> RawImage:
    """Read a file; ``channels`` along its fourth (or fifth) axis, None for a 3D file.

    Args:
        path: NIfTI-1 or -2, Analyze or MGH, gzipped or not.
        channels: Channels that are promised along the fourth (or fifth) axis; None for a 3D file.

    Raises:
        ImageError: If it is not what its name or ``channels`` promises.
    """
    if path.name.lower().endswith(MGH):
        return _read_mgh(path, channels)
    if path.name.lower().endswith(PAIR):
        return _read_pair(path, channels)
    headers: list[Any] = []

    def extent(head: bytes) -> Extent:
        headers.append(_parse(path, head))
        return _extent(path, headers[0])

    content = read_extent(path, SIZE_2, extent)
    header = headers[0]
    return _raw_image(path, header, content, int(header["vox_offset"]), channels)


def _raw_image(path: Path, header: Any, content: bytearray, offset: int, channels: int | None) -> RawImage:
    shape = _shape(header)
    if channels != 1 and math.prod(shape[AXES:]) > 1 and int(header["intent_code"]) in TENSORS:
        raise ImageError(
            f"{path}: its intent code {int(header['intent_code'])} says that it holds "
            f"{TENSORS[int(header['intent_code'])]}, not channels. Save each component as a 3D file."
        )
    flat = np.frombuffer(content, header.get_data_dtype(), math.prod(shape), offset)
    voxels = to_plain_dtype(path, flat.reshape(shape, order="F"))
    slope, inter, remarks = slope_of(header)
    voxels = _channels_first(path, scale(voxels, slope, inter), channels)
    try:
        frame, told = nifti_geometry.frame_of(header)
    except ValueError as error:
        raise ImageError(f"{path}: {error}") from error
    return RawImage(path, voxels, frame, header.binaryblock, (*told, *remarks))


def _read_pair(path: Path, channels: int | None) -> RawImage:
    """Read .hdr and .img: NIfTI's pair, or Analyze's, whose origin and axes are nibabel's guess."""
    head, body = pair_files(path)
    block = bytes(read_extent(head, SIZE_1, lambda start: Extent(min(len(start), SIZE_1), SIZE_2)))
    if block[SIZE_1 - 4 : SIZE_1 - 1] not in MAGIC and block[4:7] not in MAGIC:
        found: Any = _open(path, lambda: nibabel.load(path))
        needed = math.prod(map(int, found.shape)) * found.get_data_dtype().itemsize
        read_extent(body, 0, lambda _: Extent(needed, needed))
        voxels = to_plain_dtype(path, np.asarray(found.dataobj))
        frame = _affine_frame(path, found.affine)
        return RawImage(path, _channels_first(path, voxels, channels), frame, remarks=(ANALYZE,))
    header = _parse(head, block)
    offset = max(0, int(header["vox_offset"])) if np.isfinite(header["vox_offset"]) else 0
    needed = offset + math.prod(_shape(header)) * header.get_data_dtype().itemsize
    content = read_extent(body, 0, lambda _: Extent(needed, needed))
    return _raw_image(path, header, content, offset, channels)


def _read_mgh(path: Path, channels: int | None) -> RawImage:
    kinds: Any = nibabel

    def extent(start: bytes) -> Extent:
        if path.name.lower().endswith(".mgz") and len(start) < SIZE_MGH:
            raise ImageError(f"{path}: not an MGH file, though its name says so. Rename or convert it.")
        kind: Any = mghformat.MGHHeader
        header = _open(path, lambda: kind(start.ljust(SIZE_MGH + 20, b"\0")[: SIZE_MGH + 20]))
        width = _open(path, header.get_data_dtype).itemsize
        needed = SIZE_MGH + math.prod(map(int, header.get_data_shape())) * width
        return Extent(needed, needed + SURPLUS)

    content = bytes(read_extent(path, SIZE_MGH, extent))
    found: Any = _open(path, lambda: kinds.MGHImage.from_bytes(content))
    voxels = to_plain_dtype(path, np.asarray(found.dataobj))
    return RawImage(path, _channels_first(path, voxels, channels), _affine_frame(path, found.affine))


def _parse(path: Path, start: bytes | bytearray) -> Any:
    """Read the header at the beginning of a file."""
    kinds: Any = nibabel
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    second = SIZE_2 in sizes
    magic = bytes(start[4:7] if second else start[SIZE_1 - 4 : SIZE_1 - 1])
    if not sizes & {SIZE_1, SIZE_2} or magic not in MAGIC:
        if path.name.lower().endswith(".gz") and not _is_gzip(path):
            raise ImageError(
                f"{path}: not a gzip file, though its name says so. Download it again or rename it."
            )
        raise ImageError(f"{path}: not a NIfTI file, though its name says so. Rename or convert it.")
    if len(start) < (SIZE_2 if second else SIZE_1):
        raise ImageError(f"{path}: its header is truncated. Copy or download it again.")
    kind, size = (kinds.Nifti2Header, SIZE_2) if second else (kinds.Nifti1Header, SIZE_1)
    header = _open(path, lambda: kind(bytes(start[:size]), check=False))
    dims = header["dim"].tolist()
    if not 1 <= dims[0] <= MOST_AXES:
        raise ImageError(
            f"{path}: its header has {dims[0]} axes ('dim[0]'); NIfTI has 1 to 7. Save it again."
        )
    if min(dims[1 : dims[0] + 1]) < 0 or 0 in dims[1 : min(dims[0], AXES) + 1]:
        raise ImageError(f"{path}: there are no voxels in it (dim {dims}). Save it again.")
    if not _open(path, header.get_data_dtype).itemsize:
        raise ImageError(f"{path}: its header tells no type of voxels ('datatype' 0). Save it again.")
    return header


def _extent(path: Path, header: Any) -> Extent:
    offset, least = float(header["vox_offset"]), int(header["sizeof_hdr"]) + 4
    if not least <= offset < 2.0**62:
        raise ImageError(
            f"{path}: by its header the voxels begin at byte {offset:g} ('vox_offset'), where {least} is the "
            f"least. Set it to {least}, or save the file again."
        )
    if math.prod(_shape(header)) * header.get_data_dtype().itemsize > 2**62:
        raise ImageError(
            f"{path}: it is truncated: its header promises {_shape(header)} voxels. Copy it again."
        )
    needed = int(offset) + math.prod(_shape(header)) * header.get_data_dtype().itemsize
    return Extent(needed, needed)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


def _shape(header: Any) -> tuple[int, ...]:
    """Voxels along each axis; one where the header says none or less, as the NIfTI library reads it."""
    count = int(header["dim"][0])
    return tuple(max(1, int(voxels)) for voxels in header["dim"][1 : count + 1])


def _channels_first(path: Path, voxels: NDArray[Any], channels: int | None) -> NDArray[Any]:
    """Bring (x, y, z, 1, ..., channel, 1, ...) to (channel, z, y, x)."""
    shape = (*voxels.shape, *(1,) * (AXES - voxels.ndim))
    if 0 in shape:
        raise ImageError(f"{path}: there are no voxels in it (shape {shape}). Save it again.")
    space, beyond = shape[:AXES], [count for count in shape[AXES:] if count > 1]
    if len(beyond) <= 1 and math.prod(beyond) == (channels or 1):
        return voxels.reshape((*space, channels or 1), order="F").T
    while len(shape) > AXES and shape[-1] == 1:
        shape = shape[:-1]
    if channels is None:
        raise ImageError(
            f"{path}: it is {len(shape)}D, shape {shape}, where a 3D image is promised. "
            "Save each volume as a file of its own (CASE_0000, CASE_0001, ...); a label as one "
            "volume with an integer for each structure."
        )
    raise ImageError(
        f"{path}: {channels} channels are promised along the fourth axis; its shape is {shape}. Name as many "
        "channels as there are, or save each as a file of its own (CASE_0000, CASE_0001, ...)."
    )


def _affine_frame(path: Path, affine: Any) -> Frame:
    """Give the frame of a format that has an affine and nothing else."""
    matrix = np.asarray(affine, dtype=np.float64)
    spacing = np.linalg.norm(matrix[:AXES, :AXES], axis=0)
    if not (spacing > 0).all():
        told = matrix[:AXES].round(4).tolist()
        raise ImageError(f"{path}: an axis of its affine has no length ({told}). Repair its header.")
    direction = (LPS @ matrix)[:AXES, :AXES] / spacing
    try:
        return Frame.of(spacing[::-1], (LPS @ matrix)[:AXES, AXES], direction.ravel())
    except ValueError as error:
        raise ImageError(f"{path}: {error} Repair its header.") from error


def _open(path: Path, opening: Callable[[], Any]) -> Any:
    try:
        return opening()
    except Exception as error:
        raise ImageError(
            f"{path}: the header cannot be read ({error}). Save or download it again."
        ) from error


def write(path: Path, voxels: NDArray[Any], frame: Frame, block: bytes | None) -> None:
    """Write (channel, z, y, x) voxels; ``block`` is the header of the source where it was a NIfTI.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        voxels: Shape (channel, z, y, x); of several channels the file is 4D.
        frame: Where they lie.
        block: Header of the source, kept where it was a NIfTI; None writes a new one.
    """
    header: Any = _header(block, frame)
    header["magic"] = b"n+1" if header["sizeof_hdr"] == SIZE_1 else b"n+2"
    header["vox_offset"] = header["sizeof_hdr"] + 4
    header["cal_min"] = header["cal_max"] = header["intent_code"] = 0
    header["intent_name"] = b""
    shape = voxels.shape[:0:-1] + (voxels.shape[:1] if len(voxels) > 1 else ())
    if max(shape) > np.iinfo(header["dim"].dtype).max:
        raise ImageError(
            f"{path}: {max(shape)} voxels along an axis are too many for NIfTI. Write .nrrd instead."
        )
    header["dim"][1:] = 1
    header["dim"][: len(shape) + 1] = (len(shape), *shape)
    header.set_data_dtype(voxels.dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    body = header.binaryblock + bytes(4) + voxels.astype(header.get_data_dtype()).tobytes()
    if path.name.lower().endswith(".gz"):
        with path.open("wb") as file, gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed:
            packed.write(body)
    else:
        path.write_bytes(body)


def _header(block: bytes | None, frame: Frame) -> object:
    kinds: Any = nibabel
    if block is None:
        header = kinds.Nifti1Header()
        affine = LPS @ frame.affine
        header.set_data_shape((1, 1, 1))
        if frame.shear <= SHEARED:  # a qform cannot hold a tilt, and ITK would take it for the whole truth
            header.set_qform(affine, code=1, strip_shears=True)
        header.set_sform(affine, code=1)
        header["xyzt_units"] = 2  # millimetres
        header["pixdim"][1 : AXES + 1] = frame.spacing[::-1]
        return header
    kind = kinds.Nifti1Header if len(block) == SIZE_1 else kinds.Nifti2Header
    return kind(block, check=False)
