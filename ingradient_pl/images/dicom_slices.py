"""DICOM headers, read once: where each slice (or frame of a multi-frame object) lies and how it is stored."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.images.bounded_files import check_regular
from ingradient_pl.images.dicom_file import ENDINGS, SEGMENTATION, class_of, find_in_groups, pydicom
from ingradient_pl.images.dicom_pixels import ELEMENT, check_pixels
from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.phrases import first_line

IMAGE_CLASS = "Image Storage"
"""What the names of classes of images end in; reports, DICOMDIRs and the like have others."""

FRAME_TYPES = tuple(f"{kind}FrameTypeSequence" for kind in ("MRImage", "CTImage", "PET", "XRay3D"))
"""Where multi-frame objects tell the kind of each frame."""

IDENTITIES = ("PatientID", "StudyInstanceUID")
"""What differs between volumes and is not written into messages: it names people."""

TELLING = (
    *("EchoTime", "EchoNumbers", "TemporalPositionIdentifier", "TemporalPositionIndex"),
    *("DiffusionBValue", "InversionTime", "FlipAngle", "ComplexImageComponent", "FrameOfReferenceUID"),
    *("ConvolutionKernel", "KVP", "Modality", "Units", "RescaleType", "PhotometricInterpretation"),
    *("EffectiveEchoTime", "ContrastBolusAgent", "ProtocolName", "PatientPosition", "ReconstructionDiameter"),
    *IDENTITIES,
)
"""What differs between volumes that are not one volume; places in two frames cannot be compared."""

TAGS = [
    *(
        "SOPClassUID",
        "SeriesInstanceUID",
        "SeriesDescription",
        "InstanceNumber",
        "ImageType",
        "Rows",
        "Columns",
    ),
    *("NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "AcquisitionNumber"),
    *("ImagerPixelSpacing", "SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept"),
    *("GridFrameOffsetVector", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("ImagesInAcquisition", "NumberOfSlices", "ModalityLUTSequence", "LossyImageCompression"),
    *TELLING,
]


class Slice(NamedTuple):
    """One plane of a series as its header tells it.

    Args:
        file: Where it is.
        frame: Which of the file's planes.
        series: UID of the series, and what it is called.
        position: Centre of its first pixel in mm (x, y, z), towards Left, Posterior, Superior.
        orientation: Directions (x, y, z) along a row and along a column.
        spacing: Between rows and between columns, in mm.
        thickness: Of the slice in mm.
        shape: Rows and columns.
        stored: Bits and sign of its pixels.
        scale: Slope and intercept that make values of them.
        scaled: Whether the header gives a slope.
        kind: ``ImageType``.
        telling: Echo, time point and what else tells volumes apart, by name.
        acquisition: ``AcquisitionNumber``; empty where there is none.
        at_detector: Whether the spacing is that of the detector, as no other is told.
        promised: How many slices the header says that there are; None where it says nothing.
        between: ``SpacingBetweenSlices`` in mm; None where the header says nothing.
        number: ``InstanceNumber``; None where there is none.
        lossy: Whether its pixels were compressed with loss.
    """

    file: Path
    frame: int
    series: tuple[str, str]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    thickness: float | None
    shape: tuple[int, int]
    stored: tuple[int, int, int]
    scale: tuple[float, float]
    scaled: bool
    kind: tuple[str, ...]
    telling: tuple[tuple[str, str], ...]
    acquisition: str
    at_detector: bool
    promised: int | None
    between: float | None
    number: int | None
    lossy: bool

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.file.name}, frame {self.frame + 1}" if self.frame else self.file.name

    @property
    def axes(self) -> NDArray[np.float64]:
        """Unit vectors along a row and a column, and the normal, as rows; (x, y, z)."""
        row, column = (
            np.array(part) / np.linalg.norm(part) for part in np.reshape(self.orientation or (), (2, 3))
        )
        return np.stack([row, column, np.cross(row, column)])


def read_slices(file: Path) -> list[Slice] | None:
    """Give the planes of a file; none of what is no image (a report, a DICOMDIR), None of what is no DICOM.

    Args:
        file: Of one slice, or of many frames.

    Raises:
        ImageError: If its name says that it is DICOM and it is not, or its header cannot be read.
    """
    size = check_regular(file)
    header, begin, element = _header(file)
    if header is None:
        return None
    try:
        if not header.get("Rows"):
            _check_class(file, header)
            return []
        if class_of(header).endswith(SEGMENTATION):
            return []
        check_pixels(file, header, element, size - begin)
        frames = header.get("PerFrameFunctionalGroupsSequence")
        if frames:
            _check_frames(file, header, len(frames))
            shared = [*(header.get("SharedFunctionalGroupsSequence") or [])][:1]
            return [_slice(file, number, header, [frame, *shared]) for number, frame in enumerate(frames)]
        count = int(header.get("NumberOfFrames") or 1)
        offsets = _numbers(header.get("GridFrameOffsetVector"))
        first = _slice(file, 0, header, [])
        return [first] if count == 1 else list(_frames(first, count, offsets))
    except ImageError:
        raise
    except Exception as error:  # entries are read when they are asked for, and fail in many ways
        raise ImageError(
            f"{file}: its header cannot be read ({first_line(error)}). Copy or export it again."
        ) from error


def _header(file: Path) -> tuple[Any, int, bytes]:
    """Give a file's header, None where it is not DICOM, where its pixels begin, and their first bytes."""
    named = file.suffix.lower() in ENDINGS
    try:
        with file.open("rb") as opened:
            header = pydicom().dcmread(opened, stop_before_pixels=True, specific_tags=list(TAGS), force=named)
            begin = opened.tell()
            element = opened.read(ELEMENT)
    except pydicom().errors.InvalidDicomError:
        return None, 0, b""
    except Exception as error:  # a damaged header fails in many ways
        raise ImageError(f"{file}: it cannot be read as DICOM ({error}). Copy or export it again.") from error
    if not len(header):
        raise ImageError(f"{file}: not DICOM, though its name says so. Copy it again, or take it away.")
    return header, begin, element


def _check_class(file: Path, header: Any) -> None:
    """Refuse a file without rows that is an image, or DICOM that says not what: nobody would miss it."""
    kind = class_of(header)
    if not kind or kind.endswith(IMAGE_CLASS):
        raise ImageError(
            f"{file}: it is damaged: its header says not how many rows of pixels it has. Copy or export it "
            "again, or take it away."
        )


def _check_frames(file: Path, header: Any, described: int) -> None:
    """Refuse a multi-frame object that does not describe each of its frames."""
    count = int(header.get("NumberOfFrames") or 1)
    if described != count:
        raise ImageError(
            f"{file}: it holds {count} frames and describes {described} of them, so where the others lie is "
            "unknown. Export it again."
        )


def _frames(first: Slice, count: int, offsets: Sequence[float] | None) -> Iterator[Slice]:
    """Planes of a multi-frame object that tells distances only (doses), or nothing of them (cine)."""
    for frame in range(count):
        position = None
        if offsets is not None and len(offsets) == count and first.position and first.orientation:
            shift = first.axes[2] * (offsets[frame] - offsets[0])
            position = tuple((np.array(first.position) + shift).tolist())
        yield first._replace(frame=frame, position=position)


def _slice(file: Path, frame: int, header: Any, groups: Sequence[Any]) -> Slice:
    def find(name: str, *sequences: str) -> Any:
        """Look in the frame's own groups, then in those of all frames, then in the header."""
        found = find_in_groups(groups, name, *sequences)
        return header.get(name) if found is None else found

    measures, scaling = "PixelMeasuresSequence", "PixelValueTransformationSequence"
    content = ("FrameContentSequence", "MREchoSequence", "MRDiffusionSequence", "MRImageFrameTypeSequence")
    thickness = _numbers(find("SliceThickness", measures))
    slope, intercept = find("RescaleSlope", scaling), find("RescaleIntercept", scaling)
    telling = ((name, find(name, *content)) for name in TELLING)
    spacing = _numbers(find("PixelSpacing", measures), 2)
    between, number = _numbers(find("SpacingBetweenSlices", measures)), header.get("InstanceNumber")
    promised = header.get("NumberOfSlices") or header.get("ImagesInAcquisition")
    return Slice(
        file=file,
        frame=frame,
        series=(str(header.get("SeriesInstanceUID", "")), str(header.get("SeriesDescription", ""))),
        position=_numbers(find("ImagePositionPatient", "PlanePositionSequence"), 3),
        orientation=_numbers(find("ImageOrientationPatient", "PlaneOrientationSequence"), 6),
        spacing=spacing or _numbers(header.get("ImagerPixelSpacing"), 2),
        thickness=thickness[0] if thickness else None,
        shape=(int(header.Rows), int(header.Columns)),
        stored=(int(header.BitsAllocated), int(header.BitsStored), int(header.PixelRepresentation)),
        scale=(1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)),
        scaled=slope is not None,
        kind=tuple(
            str(word) for word in _several(find("FrameType", *FRAME_TYPES) or header.get("ImageType"))
        ),
        telling=tuple((name, str(value)) for name, value in telling if value not in (None, "")),
        acquisition=str(header.get("AcquisitionNumber") or ""),
        at_detector=spacing is None,
        promised=int(promised) if promised and not groups else None,
        between=between[0] if between else None,
        number=None if groups or not number else int(number),
        lossy=str(header.get("LossyImageCompression") or "") == "01",
    )


def _several(value: Any) -> list[Any]:
    if value is None or isinstance(value, str):
        return [value] if value else []
    return list(value) if hasattr(value, "__iter__") else [value]


def _numbers(value: Any, count: int | None = None) -> tuple[float, ...] | None:
    """Give the numbers of an element; None where it is empty.

    Raises:
        ValueError: If it holds another count of them, or one that is not finite.
    """
    made = tuple(float(number) for number in _several(value))
    if not made:
        return None
    if (count is not None and len(made) != count) or not np.isfinite(made).all():
        raise ValueError(f"{count} numbers are wanted, got {list(made)}")
    return made
