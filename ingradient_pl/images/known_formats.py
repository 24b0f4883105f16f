"""Which format reads and writes a file, by its ending: ours, those of installed packages, those added."""

import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from ingradient_pl.images import itk, nifti, picture_files
from ingradient_pl.images.image_format import ImageFormat

GROUP = "ingradient_pl.image_formats"
"""Entry points of this group name an :class:`ImageFormat` each."""

BUILT_IN = (
    ImageFormat("NIfTI", (".nii.gz", ".nii"), nifti.read, nifti.write),
    ImageFormat("MGH", (".mgz", ".mgh"), nifti.read, itk.write, answers=".nii.gz"),
    ImageFormat("Analyze", (".hdr", ".img"), nifti.read, itk.write, parts=nifti.pair_files),
    ImageFormat("NRRD", (".nrrd", ".nhdr"), itk.read, itk.write, parts=itk.all_files),
    ImageFormat("MetaImage", (".mha", ".mhd"), itk.read, itk.write, parts=itk.all_files),
    ImageFormat("GIPL", (".gipl", ".gipl.gz"), itk.read, itk.write),
    picture_files.PICTURE,
    picture_files.TIFF,
    picture_files.JPEG,
)
_added: list[ImageFormat] = []


def add_formats(formats: Iterable[ImageFormat]) -> None:
    """Read and write further formats in this process; they come before those of the same endings.

    Args:
        formats: Of yours, or of a package that names none as an entry point.

    Raises:
        TypeError: If one is not an ``ImageFormat``.
        ValueError: If an ending of it has no dot in front, or capital letters.
    """
    for one in formats:
        _check(one)
        if one not in _added:
            _added.append(one)


def known_formats() -> list[ImageFormat]:
    """List all formats, the first to be asked first."""
    return [*reversed(_added), *_installed_formats(), *BUILT_IN]


def format_of(path: Path) -> ImageFormat | None:
    """Find the format of a file by the longest ending that fits; None where there is none.

    Args:
        path: Its name alone decides, in any case of letters.
    """
    name = path.name.lower()
    found = [
        (len(ending), -number, one)
        for number, one in enumerate(known_formats())
        for ending in one.endings
        if name.endswith(ending)
    ]
    return max(found, key=lambda entry: entry[:2])[2] if found else None


def ending(path: Path) -> str:
    """Give the ending of an image file, ``.nii.gz`` as a whole; empty where it is none we know.

    Args:
        path: Its name alone decides, in any case of letters.
    """
    found, name = format_of(path), path.name.lower()
    endings = found.endings if found is not None else ()
    return max((one for one in endings if name.endswith(one)), key=len, default="")


def answer_ending(path: Path) -> str:
    """Give the ending of the answer to an image: the image's own where it can be written; or nothing.

    Args:
        path: Of the image.
    """
    found = format_of(path)
    if found is None:
        return ""
    return found.answers or (ending(path) if found.write is not None else "")


def without_pictures(paths: Iterable[Path]) -> list[Path]:
    """Leave out pictures that lie beside volumes: previews, not cases. Pictures alone are images.

    Args:
        paths: Files of one folder.
    """
    listed = list(paths)
    volumes = [path for path in listed if not is_picture(path)]
    return volumes or listed


def is_picture(path: Path) -> bool:
    """Whether one file of its format usually holds all channels of a case.

    Args:
        path: Its name alone decides.
    """
    found = format_of(path)
    return found is not None and found.several_channels


def file_parts(path: Path) -> list[Path]:
    """Give the files that belong to one image, such as the header and the voxels of a pair.

    Args:
        path: The file that names the image.
    """
    found = format_of(path)
    return [path] if found is None else found.parts(path)


@cache
def _installed_formats() -> tuple[ImageFormat, ...]:
    return tuple(_load())


def _load() -> Iterator[ImageFormat]:
    for entry in entry_points(group=GROUP):
        try:
            found = entry.load()
            _check(found)
        except Exception as error:  # noqa: BLE001 - another package's fault is not the end of all reading
            told = (
                f"The image format '{entry.name}' ({entry.value}) is not used: {error}. Update its package."
            )
            warnings.warn(told, RuntimeWarning, stacklevel=2)
            continue
        yield found


def _check(one: object) -> None:
    if not isinstance(one, ImageFormat):
        raise TypeError(f"an ImageFormat is wanted, got {type(one).__name__}")
    wrong = [end for end in one.endings if not end.startswith(".") or end != end.lower()]
    if wrong or not one.endings:
        raise ValueError(f"endings are small letters behind a dot, such as '.nii'; got {list(one.endings)}")
