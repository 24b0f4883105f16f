"""NIfTI (and MGH) files through nibabel: headers are kept as bytes, to be written back unchanged."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.raw_image import ImageError, RawImage, to_plain_dtype

GZIP = b"\x1f\x8b"
LFS = b"version https://git-lfs"
SIZE_1, SIZE_2 = 348, 540
CLOSE = 1e-3
WRITABLE = (".nii", ".nii.gz")
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
LEVEL = 3
"""Of gzip: label maps come out 10 % larger than at 9, in a fifth of the time."""


def readable(path: Path) -> bool:
    """Whether the file is for this module, by its name."""
    return path.name.lower().endswith((".nii", ".nii.gz", ".mgz", ".mgh", ".hdr", ".img"))


def writable(path: Path) -> bool:
    """Whether this module writes files of that name."""
    return path.name.lower().endswith(WRITABLE)


def read(path: Path, channels: int | None) -> RawImage:
    """Read a file; ``channels`` along its fourth axis, None for a 3D file.

    Raises:
        ImageError: If it is not what its name or ``channels`` promises.
    """
    content = None if path.name.lower().endswith((".hdr", ".img")) else decompress(path)
    image: Any = _image(path, content)
    voxels = _voxels(path, image, content)
    voxels = _channels_first(path, voxels, channels)
    header = image.header
    nifti = isinstance(header, nibabel.Nifti1Header)
    try:
        frame = _frame(image, nifti)
    except ValueError as error:
        raise ImageError(f"{path}: {error} Repair its header.") from error
    return RawImage(path, voxels, frame, header.binaryblock if nifti else None)


def write(path: Path, voxels: NDArray[Any], frame: Frame, block: bytes | None) -> None:
    """Write (channel, z, y, x) voxels; ``block`` is the header of the source where it was a NIfTI."""
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


def decompress(path: Path) -> bytes:
    """Read a file and undo gzip, whose check sum is verified.

    Raises:
        ImageError: If it is cut short, damaged or a Git LFS pointer.
    """
    content = path.read_bytes()
    if content.startswith(LFS):
        raise ImageError(f"{path}: this is a Git LFS pointer, not the image. Fetch it with 'git lfs pull'.")
    if not content:
        raise ImageError(f"{path}: the file is empty. Copy or download it again.")
    if not content.startswith(GZIP):
        if path.name.lower().endswith((".gz", ".mgz")) and content[:4] not in (
            b"\x5c\x01\0\0",
            b"\0\0\x01\x5c",
        ):
            raise ImageError(
                f"{path}: not a gzip file, though its name says so. Download it again or rename it."
            )
        return content
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise ImageError(f"{path}: the gzip file is truncated. Copy or download it again.") from error
    except (zlib.error, OSError) as error:
        raise ImageError(f"{path}: the gzip file is damaged ({error}). Copy or download it again.") from error


def _image(path: Path, content: bytes | None) -> object:
    if content is None:
        return _open(path, lambda: nibabel.load(path))
    kinds: Any = nibabel
    if path.name.lower().endswith((".mgz", ".mgh")):
        return _open(path, lambda: kinds.MGHImage.from_bytes(content))
    size = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    magic = content[4:7] if SIZE_2 in size else content[SIZE_1 - 4 : SIZE_1 - 1]
    if not size & {SIZE_1, SIZE_2} or magic not in (b"n+1", b"n+2", b"ni1", b"ni2"):
        raise ImageError(f"{path}: not a NIfTI file, though its name says so. Rename or convert it.")
    kind = kinds.Nifti2Image if SIZE_2 in size else kinds.Nifti1Image
    return _open(path, lambda: kind.from_bytes(content))


def _open(path: Path, opening: Any) -> object:
    try:
        return opening()
    except Exception as error:
        raise ImageError(
            f"{path}: the header cannot be read ({error}). Save or download it again."
        ) from error


def _voxels(path: Path, image: Any, content: bytes | None) -> NDArray[Any]:
    proxy = image.dataobj
    try:
        if content is None:
            stored = np.asarray(proxy.get_unscaled() if hasattr(proxy, "get_unscaled") else proxy)
        else:  # without a copy
            flat = np.frombuffer(content, proxy.dtype, math.prod(map(int, proxy.shape)), proxy.offset)
            stored = flat.reshape(proxy.shape, order="F")
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(
            f"{path}: the voxels cannot be read ({error}); is it truncated? Copy it again."
        ) from error
    voxels = to_plain_dtype(path, stored)
    slope, inter = float(getattr(proxy, "slope", 1.0)), float(getattr(proxy, "inter", 0.0))
    if (slope, inter) == (1.0, 0.0):
        return voxels
    if voxels.dtype.kind in "iu" and slope.is_integer() and inter.is_integer():
        return _apply_integer_slope(voxels, int(slope), int(inter))
    return _apply_slope(voxels, slope, inter)


def _apply_slope(voxels: NDArray[Any], slope: float, inter: float) -> NDArray[Any]:
    """Slope and intercept in 64 bits, the result in 32, without a 64-bit copy of the whole."""
    scaled = np.empty(voxels.shape, np.float32, order="F")
    for plane in range(voxels.shape[-1]):
        scaled[..., plane] = voxels[..., plane] * np.float64(slope) + inter
    return scaled


def _apply_integer_slope(voxels: NDArray[Any], slope: int, inter: int) -> NDArray[Any]:
    """Integers that stay integers: a CT stored with an offset of 1024 remains 16 bits."""
    ends = [int(end) * slope + inter for end in (voxels.min(), voxels.max())] if voxels.size else [0, 0]
    for dtype in (voxels.dtype, np.dtype(np.int16), np.dtype(np.int32)):
        limits = np.iinfo(dtype)
        if limits.min <= min(ends) and max(ends) <= limits.max:
            return (voxels.astype(np.int64) * slope + inter).astype(dtype)
    return _apply_slope(voxels, slope, inter)


def _channels_first(path: Path, voxels: NDArray[Any], channels: int | None) -> NDArray[Any]:
    shape = voxels.shape
    while len(shape) > AXES and shape[-1] == 1 and not (channels == 1 and len(shape) == AXES + 1):
        shape = shape[:-1]
    if not shape or 0 in shape:
        raise ImageError(f"{path}: there are no voxels in it (shape {shape}).")
    if len(shape) < AXES:
        shape += (1,) * (AXES - len(shape))
    if len(shape) == AXES and channels in (None, 1):
        return voxels.reshape(shape, order="F").T[None]
    if len(shape) == AXES + 1 and channels == shape[-1]:
        return voxels.reshape(shape, order="F").T
    if channels is None:
        raise ImageError(
            f"{path}: it is {len(shape)}D, shape {shape}, where a 3D image is promised. "
            "Save each volume as a file of its own (CASE_0000, CASE_0001, ...)."
        )
    raise ImageError(f"{path}: {channels} channels are promised along the fourth axis; its shape is {shape}.")


def _frame(image: Any, nifti: bool) -> Frame:  # noqa: FBT001
    header = image.header
    affine = np.asarray(image.affine, dtype=np.float64)
    spacing = np.linalg.norm(affine[:AXES, :AXES], axis=0)
    if nifti and header["sform_code"] <= 0 and header["qform_code"] <= 0:
        # No orientation is known: axes as they come, which is what ITK makes of it
        spacing = np.abs(np.asarray(header["pixdim"][1 : AXES + 1], dtype=np.float64))
        spacing = np.where(spacing > 0, spacing, 1.0)
        return Frame.of(spacing[::-1], (0.0, 0.0, 0.0), np.eye(AXES).ravel())
    if not (spacing > 0).all():
        raise ValueError(f"an axis of its affine has no length ({affine[:AXES].round(4).tolist()}).")
    direction = (LPS @ affine)[:AXES, :AXES] / spacing
    if nifti:
        zooms = np.abs(np.asarray(header["pixdim"][1 : AXES + 1], dtype=np.float64))
        # The affine's columns carry rounding; what the header calls the spacing is what others read
        spacing = np.where(np.abs(zooms - spacing) <= CLOSE * spacing, zooms, spacing)
    return Frame.of(spacing[::-1], (LPS @ affine)[:AXES, AXES], direction.ravel())


def _header(block: bytes | None, frame: Frame) -> object:
    kinds: Any = nibabel
    if block is None:
        header = kinds.Nifti1Header()
        affine = LPS @ frame.affine
        header.set_data_shape((1, 1, 1))
        header.set_qform(affine, code=1, strip_shears=True)
        header.set_sform(affine, code=1)
        header["xyzt_units"] = 2  # millimetres
        header["pixdim"][1 : AXES + 1] = frame.spacing[::-1]
        return header
    kind = kinds.Nifti1Header if len(block) == SIZE_1 else kinds.Nifti2Header
    return kind(block, check=False)
