"""Small DICOM series, right and wrong in known ways, for tests of their reader."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ROOT = "1.2.826.0.1.3680043.8.498"
CT, MR, PET, ENHANCED, DOSE, REPORT, STRUCTURES = (
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "128", "4.1", "481.2", "88.11", "481.3")
)
AXIAL, SAGITTAL, CORONAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)
SPACING = (0.8, 0.5)
"""Between rows and between columns, in mm."""


def truth(count=8):
    """Voxels (z, y, x) of which no two slices are alike, some negative."""
    z, y, x = np.indices((count, 5, 6))
    return (100 * z + 7 * y + x - 20).astype(np.int16)


def normal(orientation):
    row, column = np.reshape(orientation, (2, 3)).astype(float)
    return np.cross(row, column)


def places(count=8, step=2.0, orientation=AXIAL, origin=(10.0, -20.0, 30.0), aside=(0.0, 0.0, 0.0)):
    """Positions of an even stack."""
    along = normal(orientation) * step + np.array(aside)
    return [np.array(origin) + number * along for number in range(count)]


def item(**values):
    made = Dataset()
    for key, value in values.items():
        setattr(made, key, value)
    return made


def plane(pixels, position, number, orientation=AXIAL, sop=MR, series=f"{ROOT}.2", **more) -> Any:
    """One slice; a value of None leaves that attribute out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = sop, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.ImplementationClassUID = f"{ROOT}.99"
    made: Any = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = sop, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = f"{ROOT}.1", series, f"{ROOT}.9"
    made.Modality = {CT: "CT", MR: "MR", PET: "PT", DOSE: "RTDOSE"}.get(sop, "MR")
    made.PatientName, made.PatientID = "Phantom", "P1"
    made.InstanceNumber = number
    if position is not None:
        made.ImagePositionPatient = [f"{value:.6f}" for value in position]
        made.ImageOrientationPatient = [f"{value:.8f}" for value in orientation]
    made.PixelSpacing = list(SPACING)
    pixels = np.ascontiguousarray(pixels)
    made.Rows, made.Columns = pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 8 * pixels.dtype.itemsize
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    for key, value in more.items():
        if value is not None:
            setattr(made, key, list(value) if isinstance(value, tuple) else value)
        elif key in made:
            delattr(made, key)
    return made


def stack(voxels=None, at=None, orientation=AXIAL, **more):
    """The slices of an even stack; a list in ``more`` has an entry for each slice, a tuple is one value."""
    voxels = truth() if voxels is None else voxels
    at = places(len(voxels), orientation=orientation) if at is None else at
    made = []
    for number, (pixels, position) in enumerate(zip(voxels, at, strict=True)):
        own = {key: value[number] if isinstance(value, list) else value for key, value in more.items()}
        made.append(plane(pixels, position, number + 1, orientation, **{"SliceThickness": 2, **own}))
    return made


def enhanced(voxels, at, order, orientation=AXIAL, scales=None, measures=True, between=2.0, **content):
    """A multi-frame object whose frames lie in ``order``."""
    made = plane(voxels[order], None, 1, sop=ENHANCED, NumberOfFrames=len(order), PixelSpacing=None)
    shared = item(
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[float(v) for v in orientation])])
    )
    if measures:
        shared.PixelMeasuresSequence = Sequence(
            [item(PixelSpacing=list(SPACING), SliceThickness=2.0, SpacingBetweenSlices=between)]
        )
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for number in order:
        own = {key: value[number] for key, value in content.items()}
        frame = item(FrameContentSequence=Sequence([item(StackID="1", **own)]))
        if at is not None:
            where = [float(value) for value in at[number]]
            frame.PlanePositionSequence = Sequence([item(ImagePositionPatient=where)])
        if scales is not None:
            slope, intercept = scales[number]
            scaled = item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")
            frame.PixelValueTransformationSequence = Sequence([scaled])
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return made


def structures(slices, drawn, frame=f"{ROOT}.9", kind="CLOSED_PLANAR"):
    """A structure set: the contours of each name, in rows of (column, row, slice) of a series."""
    first, second = slices[0], slices[1]
    row, column = np.reshape(np.array(first.ImageOrientationPatient, float), (2, 3))
    down, along = map(float, first.PixelSpacing)
    corner = np.array(first.ImagePositionPatient, float)
    step = np.array(second.ImagePositionPatient, float) - corner
    to_mm = np.stack([row * along, column * down, step])
    made = plane(np.zeros((1, 1), np.uint8), None, 1, sop=STRUCTURES, Modality="RTSTRUCT", Rows=None)
    del made.PixelData, made.PixelSpacing
    series = item(SeriesInstanceUID=first.SeriesInstanceUID)
    study = item(RTReferencedSeriesSequence=Sequence([series]))
    made.ReferencedFrameOfReferenceSequence = Sequence(
        [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=Sequence([study]))]
    )
    named = [
        item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=frame)
        for number, name in enumerate(drawn)
    ]
    contours = [
        item(
            ReferencedROINumber=number,
            ContourSequence=Sequence(
                item(
                    ContourGeometricType=kind if len(points) > 1 else "POINT",
                    NumberOfContourPoints=len(points),
                    ContourData=[f"{value:.4f}" for value in (corner + np.array(points) @ to_mm).ravel()],
                )
                for points in some
            ),
        )
        for number, some in enumerate(drawn.values())
    ]
    made.StructureSetROISequence, made.ROIContourSequence = Sequence(named), Sequence(contours)
    return made


def save(folder: Path, slices, name="IM{:04d}.dcm") -> Path:
    """Write slices into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(slices):
        one.save_as(folder / name.format(number), enforce_file_format=True)
    return folder
