"""A DICOM series is read where it is one even, complete stack, slice by slice in its place; else refused."""

import io
import itertools
import os
import re
from functools import partial
from pathlib import Path

import made_dicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from made_dicom import (
    AXIAL,
    CORONAL,
    CT,
    DOSE,
    PET,
    REPORT,
    ROOT,
    SAGITTAL,
    SPACING,
    enhanced,
    places,
    save,
    stack,
)
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from ingradient_pl.datasets.sources import images_only
from ingradient_pl.images import dicom
from ingradient_pl.images.formats import ImageError, read_label, read_volume, write_label
from ingradient_pl.task import Task

TURNED = tuple(np.array([[0.8, 0.6, 0], [-0.36, 0.48, 0.8]]).ravel())
TRUTH = made_dicom.truth()
RNG = np.random.default_rng(0)
SHUFFLED = RNG.permutation(8).tolist()


def shuffled(slices):
    return [slices[number] for number in SHUFFLED]


def check_places(path: Path, values=TRUTH, at=None, orientation=AXIAL):
    """Every voxel of the truth lies in the volume where its header says, with its value."""
    at = places(len(values), orientation=orientation) if at is None else at
    volume = read_volume([path])
    inverse = np.linalg.inv(volume.frame.affine)
    row, column = np.reshape(orientation, (2, 3))
    assert volume.voxels[0].size == values.size
    for number, i, j in itertools.product(range(len(values)), (0, 4), (0, 5)):
        place = at[number] + np.array(column) * i * SPACING[0] + np.array(row) * j * SPACING[1]
        x, y, z = (inverse @ [*place, 1])[:3]
        np.testing.assert_allclose([x, y, z], np.rint([x, y, z]), atol=0.05)
        found = volume.voxels[0][int(np.rint(z)), int(np.rint(y)), int(np.rint(x))]
        np.testing.assert_allclose(found, values[number, i, j], rtol=1e-5)
    return volume


def tilted(degrees, sign=1, orientation=AXIAL):
    aside = np.array(orientation[3:]) * 2.0 * np.tan(np.deg2rad(degrees)) * sign
    return places(orientation=orientation, aside=aside)


SLOPES = [1.0, *(0.002 + 0.0001 * number for number in range(7))]
EVEN = {
    "axial": ({}, {}),
    "sagittal": ({"orientation": SAGITTAL}, {"orientation": SAGITTAL}),
    "coronal": ({"orientation": CORONAL}, {"orientation": CORONAL}),
    "oblique": ({"orientation": TURNED}, {"orientation": TURNED}),
    "thick and thin": ({"SliceThickness": 5}, {}),
    "negative spacing": ({"SpacingBetweenSlices": -2}, {}),
    "spacing that is not a distance": ({"SpacingBetweenSlices": 0.1}, {}),
    "no thickness": ({"SliceThickness": None}, {}),
    "a thickness of zero": ({"SliceThickness": 0, "SpacingBetweenSlices": 0}, {}),
    "positions rounded": ({"at": [p.round(1) for p in places(step=2.03)]}, {"at": places(step=2.03)}),
    "downwards": ({"at": places()[::-1]}, {"at": places()[::-1]}),
    "no instance numbers": ({"InstanceNumber": None}, {}),
    "instance numbers against the places": ({"InstanceNumber": list(range(8, 0, -1))}, {}),
    "one instance number for all": ({"InstanceNumber": 1}, {}),
    "CT with an offset": (
        {"sop": CT, "RescaleSlope": 1, "RescaleIntercept": -1024},
        {"values": TRUTH - 1024},
    ),
    "one slope": ({"RescaleSlope": "0.5", "RescaleIntercept": "3"}, {"values": TRUTH * 0.5 + 3}),
    "acquisitions one after the other": ({"AcquisitionNumber": [1, 1, 1, 2, 2, 3, 3, 3]}, {}),
    "an acquisition for each slice": ({"AcquisitionNumber": [5, 1, 6, 2, 7, 3, 8, 4]}, {}),
    "spacing at the detector beside that of pixels": ({"ImagerPixelSpacing": (1.6, 1.0)}, {}),
    "12 of 16 bits, overlays above": (
        {"voxels": (TRUTH + 20).astype(np.uint16) | 0xF000, "BitsStored": 12, "HighBit": 11},
        {"values": TRUTH + 20},
    ),
    "a slope for each slice": (
        {"sop": PET, "RescaleSlope": [f"{slope:.5f}" for slope in SLOPES], "RescaleIntercept": "0"},
        {"values": TRUTH * np.array(SLOPES)[:, None, None]},
    ),
    "an intercept for each slice": (
        {"RescaleSlope": 1, "RescaleIntercept": list(range(8))},
        {"values": TRUTH + np.arange(8)[:, None, None]},
    ),
    "tilted by 20 degrees": ({"at": tilted(20)}, {"at": tilted(20)}),
    "tilted by -15 degrees": ({"at": tilted(15, -1)}, {"at": tilted(15, -1)}),
    "tilted by 2 degrees": ({"at": tilted(2)}, {"at": tilted(2)}),
    "tilted, coronal, by 10 degrees": (
        {"at": tilted(10, orientation=CORONAL), "orientation": CORONAL},
        {"at": tilted(10, orientation=CORONAL), "orientation": CORONAL},
    ),
    "one echo": ({"EchoTime": "4.6", "EchoNumbers": 1}, {}),
    "trigger times": ({"TriggerTime": [str(number) for number in range(8)]}, {}),
    "unsigned": ({"voxels": (TRUTH + 20).astype(np.uint16)}, {"values": TRUTH + 20}),
    "bytes": ({"voxels": (TRUTH % 200).astype(np.uint8)}, {"values": TRUTH % 200}),
}


@pytest.mark.parametrize(
    ("order", "name"),
    [*(("shuffled", name) for name in EVEN), ("as they lie", "axial"), ("as they lie", "downwards")],
)
def test_an_even_stack_is_read_voxel_by_voxel(tmp_path, name, order):
    given, wanted = EVEN[name]
    slices = stack(**given)
    volume = check_places(
        save(tmp_path / "scan", shuffled(slices) if order == "shuffled" else slices), **wanted
    )
    angle = abs(float(re.findall(r"by (-?\d+) degrees", name)[0])) if "tilted" in name else 0.0
    assert bool(volume.remarks) == bool(angle)
    assert not angle or f"tilted by {angle:.1f} degrees" in volume.remarks[0]
    assert volume.frame.shear == pytest.approx(np.sin(np.deg2rad(angle)), abs=1e-6)


def test_several_signs_of_pixels_are_one_type(tmp_path):
    slices = stack()
    high = (TRUTH[3].astype(np.int32) + 40_000).astype(np.uint16)
    slices[3] = made_dicom.plane(high, places()[3], 4)
    values = TRUTH.astype(np.int32)
    values[3] = high
    check_places(save(tmp_path / "scan", slices), values)


@pytest.mark.parametrize("copies", [[3], [0, 7], list(range(8))])
def test_slices_that_are_there_twice_are_read_once_with_a_remark(tmp_path, copies):
    slices = stack()
    again = [made_dicom.plane(TRUTH[number], places()[number], 50 + number) for number in copies]
    volume = check_places(save(tmp_path / "scan", [*slices, *again]))
    assert f"{len(copies)} repeated slice(s) were left out: IM00" in volume.remarks[0]


def test_localizers_of_a_series_are_left_out_with_a_remark(tmp_path):
    kind = ["ORIGINAL", "PRIMARY", "AXIAL"]
    slices = [plane for plane in stack() if setattr(plane, "ImageType", kind) is None]
    scout = made_dicom.plane(
        np.zeros((9, 9), np.int16), (0, 0, 0), 1, CORONAL, ImageType=[*kind[:2], "LOCALIZER"]
    )
    volume = check_places(save(tmp_path / "scan", [scout, *slices]))
    assert "1 localizer(s) were left out: IM0000.dcm" in volume.remarks[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"SliceThickness": [1, 5] * 4}, "several thicknesses, 1 to 5 mm"),
        ({"PixelSpacing": None, "ImagerPixelSpacing": SPACING}, "ImagerPixelSpacing"),
        ({"ImagesInAcquisition": 12}, "tells of 12 slices, 8 are there"),
        ({"NumberOfSlices": 9}, "tells of 9 slices, 8 are there"),
        ({"sop": CT}, "a CT without RescaleSlope"),
        (
            {"sop": CT, "RescaleType": "US", "RescaleSlope": 1, "RescaleIntercept": 0},
            "a CT in US, not in Hounsfield units",
        ),
        ({"sop": PET, "Units": "CNTS"}, "a PET in CNTS"),
        ({"LossyImageCompression": "01"}, "compressed with loss"),
        ({"SpacingBetweenSlices": 1}, "lie 2 mm apart, its header says 1 .*only one in 2 there"),
        ({"SpacingBetweenSlices": "-0.5"}, "only one in 4 there"),
        ({"InstanceNumber": list(range(1, 16, 2)), "SliceThickness": 1}, "go up by 2 .*only one in 2 there"),
    ],
)
def test_what_is_odd_of_an_even_stack_is_told(tmp_path, given, words):
    (remark,) = check_places(save(tmp_path / "scan", shuffled(stack(**given)))).remarks
    assert re.search(words, remark)


@pytest.mark.parametrize(
    "given",
    [
        {"sop": CT, "RescaleType": "HU", "RescaleSlope": 1, "RescaleIntercept": 0},
        {"sop": PET, "Units": "BQML"},
        {"LossyImageCompression": "00"},
        {"SpacingBetweenSlices": 2},
        {"SpacingBetweenSlices": 0.4, "SliceThickness": 1.6},  # some write the gap
        {"InstanceNumber": list(range(1, 16, 2)), "SliceThickness": 2},
    ],
    ids=str,
)
def test_what_is_usual_needs_no_word(tmp_path, given):
    assert not read_volume([save(tmp_path / "scan", stack(**given))]).remarks


def other_object(kind):
    """A segmentation or a structure set of the series."""
    sop = {"SEG": "66.4", "RTSTRUCT": "481.3"}[kind]
    made = made_dicom.plane(TRUTH[:3].astype(np.uint8), None, 9, sop=f"1.2.840.10008.5.1.4.1.1.{sop}")
    made.Modality, made.NumberOfFrames = kind, 3
    if kind == "RTSTRUCT":
        for name in ("Rows", "Columns", "PixelData", "NumberOfFrames"):
            delattr(made, name)
    return made


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT"])
def test_objects_that_are_no_slices_are_left_out_with_a_remark(tmp_path, kind):
    (remark,) = check_places(save(tmp_path / "scan", [*stack(), other_object(kind)])).remarks
    assert "1 DICOM object(s) without slices were left out: IM0008.dcm." in remark
    for path in (save(tmp_path / "alone", [other_object(kind)]), tmp_path / "alone" / "IM0000.dcm"):
        with pytest.raises(ImageError, match=r"structure sets.* are labels"):
            read_volume([path])


def test_a_file_that_is_not_dicom_is_told(tmp_path):
    folder = save(tmp_path / "scan", stack(), "IM{:04d}")
    assert not read_volume([folder]).remarks
    damaged = bytearray((folder / "IM0007").read_bytes())
    damaged[128:132] = bytes(4)
    (folder / "IM0007").write_bytes(damaged)
    (remark,) = read_volume([folder]).remarks
    assert "1 file(s) that are not DICOM were left out: IM0007." in remark


@pytest.mark.parametrize("scale", [{}, {"RescaleSlope": "2", "RescaleIntercept": "-3"}])
@pytest.mark.parametrize(
    "voxels",
    [TRUTH, (TRUTH + 20).astype(np.uint16), (TRUTH % 200).astype(np.uint8)],
    ids=lambda one: str(one.dtype),
)
def test_bright_for_low_is_inverted_however_it_is_read(tmp_path, voxels, scale, monkeypatch):
    folder = save(tmp_path / "scan", stack(voxels, PhotometricInterpretation="MONOCHROME1", **scale))
    volume = read_volume([folder])
    assert "MONOCHROME1" in volume.remarks[0]
    seen = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage([str(file) for file in sorted(folder.iterdir())]))
    np.testing.assert_array_equal(volume.voxels[0], seen)
    monkeypatch.setattr(dicom, "_read", dicom._unpack)
    np.testing.assert_array_equal(read_volume([folder]).voxels[0], seen)


@pytest.mark.parametrize("described", [1, 6, 9])
def test_frames_that_nobody_describes_are_not_dropped(tmp_path, described):
    made = enhanced(TRUTH, places(), list(range(8)))
    groups = list(made.PerFrameFunctionalGroupsSequence)
    made.PerFrameFunctionalGroupsSequence = (groups * 2)[:described]
    with pytest.raises(ImageError, match=f"holds 8 frames and describes {described}"):
        read_volume([save(tmp_path / "scan", [made])])


def changed(number, **values):
    """An even stack of which one slice differs."""
    slices = stack()
    for key, value in values.items():
        if value is None:
            delattr(slices[number], key)
        else:
            setattr(slices[number], key, value)
    return slices


def without(*numbers):
    return [one for number, one in enumerate(stack()) if number not in numbers]


def doubled(**values):
    """Two volumes at the same places."""
    second = [made_dicom.plane(TRUTH[n] + 1, places()[n], n + 9, **values) for n in range(8)]
    return [
        *stack(**{key: "9.2" if isinstance(value, str) else 1 for key, value in values.items()}),
        *second,
    ]


def interleaved(**values):
    """Two volumes whose slices lie between each other's."""
    second = stack(at=places(origin=(10.0, -20.0, 31.0)), **{key: value[1] for key, value in values.items()})
    return [*stack(**{key: value[0] for key, value in values.items()}), *second]


def at_steps(*steps):
    return [np.array([10.0, -20.0, 30.0 + mm]) for mm in np.cumsum([0, *steps])]


def partly(values, *numbers):
    """A stack of which some slices lack what the others have."""
    slices = stack(**values)
    for number in numbers:
        for key in values:
            delattr(slices[number], key)
    return slices


UNEVEN = r"not evenly spaced.*Export all slices"
REFUSED = {
    "a slice lost": (lambda: without(3), UNEVEN),
    "two slices lost": (lambda: without(3, 4), UNEVEN),
    "lost here and there": (lambda: without(1, 4, 5), UNEVEN),
    "thin then thick": (lambda: stack(at=at_steps(1, 1, 1, 1, 5, 5, 5)), r"1 mm 4 times, 5 mm 3 times"),
    "1.5 then 3": (lambda: stack(at=at_steps(1.5, 1.5, 1.5, 1.5, 3, 3, 3)), UNEVEN),
    "2 then 2.4": (lambda: stack(at=at_steps(2, 2, 2, 2, 2.4, 2.4, 2.4)), UNEVEN),
    "one slice elsewhere": (lambda: stack(at=at_steps(2, 2, 2, 2.5, 1.5, 2, 2)), UNEVEN),
    "growing distances": (lambda: stack(at=at_steps(1, 1.2, 1.4, 1.6, 1.8, 2, 2.2)), UNEVEN),
    "another picture at one place": (
        lambda: [*stack(), made_dicom.plane(TRUTH[3] + 1, places()[3], 99)],
        r"two slices lie at one place.*IM0003\.dcm and IM0008\.dcm",
    ),
    "two echoes": (lambda: doubled(EchoTime="4.6"), "one place"),
    "two time points": (lambda: doubled(TemporalPositionIdentifier=2), "TemporalPositionIdentifier 1 and 2"),
    "two diffusion weights": (lambda: doubled(DiffusionBValue=1000.0), "DiffusionBValue"),
    "a volume twice, other pixels": (doubled, "their pixels differ"),
    "echoes between each other": (lambda: interleaved(EchoTime=("4.6", "9.2")), "EchoTime .*Keep one echo"),
    "times between each other": (lambda: interleaved(TemporalPositionIdentifier=(1, 2)), "Keep one echo"),
    "magnitude and phase": (
        lambda: interleaved(ImageType=(("ORIGINAL", "PRIMARY", "M"), ("ORIGINAL", "PRIMARY", "P"))),
        "several volumes",
    ),
    "two frames of reference": (
        lambda: changed(4, FrameOfReferenceUID=f"{ROOT}.77"),
        "several volumes.*FrameOfReferenceUID",
    ),
    "a mosaic": (lambda: stack(ImageType=("ORIGINAL", "PRIMARY", "M", "MOSAIC")), "mosaic.*dcm2niix"),
    "three views of a localizer": (
        lambda: [
            made_dicom.plane(TRUTH[n], (0, 0, 0), n, view)
            for n, view in enumerate((AXIAL, CORONAL, SAGITTAL))
        ],
        r"not parallel.*localizers",
    ),
    "one slice turned": (
        lambda: changed(4, ImageOrientationPatient=[0.9998, 0.0175, 0, -0.0175, 0.9998, 0]),
        "parallel",
    ),
    "one slice of another side": (
        lambda: changed(4, ImageOrientationPatient=[-1, 0, 0, 0, 1, 0]),
        "not parallel",
    ),
    "axes not at right angles": (lambda: stack(orientation=(1, 0, 0, 0.2, 0.98, 0)), "right angles"),
    "axes of no length": (lambda: stack(orientation=(0, 0, 0, 0, 1, 0)), "right angles"),
    "one slice of another size": (
        lambda: [*without(4), made_dicom.plane(np.zeros((5, 7), np.int16), places()[4], 5)],
        r"several sizes.*IM0007\.dcm has \(5, 7\)",
    ),
    "one slice of another pixel spacing": (lambda: changed(4, PixelSpacing=[0.8, 0.6]), "several spacings"),
    "no pixel spacing": (lambda: stack(PixelSpacing=None), "size of its pixels is unknown"),
    "one slice without pixel spacing": (
        lambda: changed(4, PixelSpacing=None),
        r"IM0004\.dcm has the PixelSpacing None",
    ),
    "pixel spacing of zero": (lambda: stack(PixelSpacing=(0, 1)), "PixelSpacing"),
    "negative pixel spacing": (lambda: stack(PixelSpacing=(-1, 1)), "PixelSpacing"),
    "no positions": (lambda: stack(at=[None] * 8), r"8 of 8 slices have no ImagePositionPatient"),
    "no positions but a spacing": (
        lambda: stack(at=[None] * 8, SpacingBetweenSlices=3),
        "no ImagePositionPatient",
    ),
    "one slice without position": (lambda: changed(4, ImagePositionPatient=None), r"1 of 8 .*IM0004\.dcm"),
    "one slice without orientation": (
        lambda: changed(4, ImageOrientationPatient=None),
        r"1 of 8 .*IM0004\.dcm",
    ),
    "one slice shifted aside": (
        lambda: changed(4, ImagePositionPatient=[13, -20, 38]),
        "do not lie in one line",
    ),
    "tilted by 40 degrees": (lambda: stack(at=tilted(40)), "sheared.*rectangular"),
    "slope of zero": (lambda: stack(RescaleSlope=0, RescaleIntercept=0), "IM0000.dcm has the RescaleSlope 0"),
    "a table of values": (
        lambda: stack(ModalityLUTSequence=made_dicom.Sequence([made_dicom.item(LUTDescriptor=[4, 0, 16])])),
        "table .ModalityLUTSequence. makes values",
    ),
    "single bits": (
        lambda: stack(BitsAllocated=1, BitsStored=1, HighBit=0, PixelRepresentation=0),
        "no integers of 8 bits",
    ),
    "no stored bits": (lambda: stack(BitsStored=None), "BitsStored None.*Convert it to NIfTI"),
    "two series": (
        lambda: [*stack(), *stack(at=places(origin=(0, 0, 90)), series=f"{ROOT}.3", SeriesDescription="T2")],
        r"found 2: .*T2 \(8 slices, such as IM0008\.dcm\).*Keep one series",
    ),
    "two multi-frame files": (
        lambda: [enhanced(TRUTH, places(origin=(0, 0, z)), list(range(8))) for z in (0, 16)],
        "several multi-frame files",
    ),
    "colours": (
        lambda: changed(4, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0),
        "colours",
    ),
    "a palette": (lambda: stack(PhotometricInterpretation="PALETTE COLOR"), "colours"),
    "pixels cut off": (lambda: changed(4, PixelData=b"", Rows=600, Columns=600), r"several sizes|truncated"),
    **{
        f"{short} bytes too few": (
            lambda short=short: changed(4, PixelData=TRUTH[4].tobytes()[:-short]),
            "truncated",
        )
        for short in (2, 8, 10, 12, 30, 60)
    },
    "too few, and padding behind": (
        lambda: changed(4, PixelData=TRUTH[4].tobytes()[:-4], DataSetTrailingPadding=bytes(64)),
        r"truncated: .* 60 bytes of pixels, 56 are there",
    ),
    "pixels that are no integers": (
        lambda: changed(
            4,
            PixelData=None,
            FloatPixelData=TRUTH[4].astype(np.float32).tobytes(),
            BitsAllocated=32,
            BitsStored=32,
            HighBit=31,
        ),
        "IM0004.dcm: its pixels are floating-point",
    ),
    "no rows": (lambda: changed(0, Rows=None)[:1], "damaged.*how many rows"),
    "one slice with bright for low": (
        lambda: changed(3, PhotometricInterpretation="MONOCHROME1"),
        "PhotometricInterpretation MONOCHROME2 and MONOCHROME1",
    ),
    "slopes of some slices only": (
        lambda: partly({"RescaleSlope": "2", "RescaleIntercept": "-5"}, 2, 3),
        r"2 of 8 slices have no RescaleSlope \(IM0002\.dcm\), IM0000\.dcm has 2 and intercept -5",
    ),
    "no slope of the last slice": (
        lambda: partly({"RescaleSlope": "0.5"}, 7),
        r"1 of 8 slices have no RescaleSlope \(IM0007",
    ),
    "bits that are shifted": (
        lambda: stack((TRUTH + 20).astype(np.uint16) << 4, BitsStored=12, HighBit=15),
        "HighBit is 15, where 11",
    ),
    "two acquisitions between each other": (
        lambda: interleaved(AcquisitionNumber=(1, 2)),
        r"acquisition 1 \(IM0000\.dcm\) and 2 \(IM0008\.dcm\) lie between",
    ),
    "two acquisitions, then the first again": (
        lambda: stack(AcquisitionNumber=[1, 1, 2, 2, 1, 1, 2, 2]),
        "lie between each other",
    ),
    **{
        f"two of {name}, {how}": (make, f"several volumes.*differ .{name}")
        for name, values in {
            "ConvolutionKernel": ("B30f", "B60f"),
            "KVP": ("80", "140"),
            "FlipAngle": ("5", "15"),
            "Modality": ("CT", "PT"),
            "Units": ("BQML", "CNTS"),
            "RescaleType": ("HU", "US"),
            "PatientID": ("A", "B"),
            "ProtocolName": ("T1", "T2"),
            "ContrastBolusAgent": ("none", "Gd"),
            "PatientPosition": ("HFS", "FFS"),
            "ReconstructionDiameter": ("300", "400"),
            "EffectiveEchoTime": (10.0, 20.0),
            "StudyInstanceUID": (f"{ROOT}.1", f"{ROOT}.11"),
        }.items()
        for how, make in {
            "between each other": partial(interleaved, **{name: values}),
            "one after the other": partial(stack, **{name: [values[0]] * 4 + [values[1]] * 4}),
        }.items()
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_even_stack_is_refused_with_folder_slice_and_cure(tmp_path, name):
    make, words = REFUSED[name]
    folder = save(tmp_path / "scan", make())
    with pytest.raises(ImageError, match=words) as told:
        read_volume([folder])
    assert str(told.value).startswith(f"{folder}: ")
    assert str(told.value).endswith(".")
    assert "\n" not in str(told.value)


def test_the_tables_are_long_enough():
    assert 2 * len(EVEN) + len(REFUSED) + len(FRAMES) >= 60


ORDERS = {
    "in order": list(range(8)),
    "even then odd": [*range(0, 8, 2), *range(1, 8, 2)],
    "top-down": list(range(7, -1, -1)),
    "random": SHUFFLED,
}
FRAMES = {
    **{name: ({"order": order}, {}) for name, order in ORDERS.items()},
    "oblique": (
        {"order": SHUFFLED, "at": places(orientation=TURNED), "orientation": TURNED},
        {"at": places(orientation=TURNED), "orientation": TURNED},
    ),
    "tilted": ({"order": SHUFFLED, "at": tilted(20)}, {"at": tilted(20)}),
    "a spacing of zero": ({"order": SHUFFLED, "between": 0.0}, {}),
    "one slope": ({"order": SHUFFLED, "scales": [(0.5, 3)] * 8}, {"values": TRUTH * 0.5 + 3}),
    "a slope for each frame": (
        {"order": SHUFFLED, "scales": [(0.5 + n, n - 3) for n in range(8)]},
        {"values": TRUTH * (0.5 + np.arange(8))[:, None, None] + (np.arange(8) - 3)[:, None, None]},
    ),
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("given", ["folder", "file"])
def test_frames_are_ordered_by_their_places(tmp_path, name, given):
    arguments, wanted = FRAMES[name]
    made = enhanced(TRUTH, **{"at": places(), **arguments})
    folder = save(tmp_path / "scan", [made])
    check_places(folder if given == "folder" else folder / "IM0000.dcm", **wanted)


def of_two_kinds(keyword):
    """A multi-frame object whose frames tell of two kinds of image."""
    made = enhanced(TRUTH, places(), list(range(8)))
    for number, frame in enumerate(made.PerFrameFunctionalGroupsSequence):
        kind = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE" if number < 4 else "ENERGY_PROP_WT"]
        setattr(frame, keyword, made_dicom.Sequence([made_dicom.item(FrameType=kind)]))
    return made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(of_two_kinds, "CTImageFrameTypeSequence"), "ImageType .*NONE and .*ENERGY_PROP_WT"),
        (partial(of_two_kinds, "MRImageFrameTypeSequence"), "Keep one echo, time point and kind of image"),
        (
            lambda: enhanced(TRUTH, places(), list(range(8)), EffectiveEchoTime=[10.0] * 4 + [20.0] * 4),
            "EffectiveEchoTime 10.0 and 20.0",
        ),
        (lambda: enhanced(TRUTH, None, list(range(8))), "8 of 8 slices have no ImagePosition"),
        (lambda: enhanced(TRUTH, [places()[0]] * 8, list(range(8))), "two slices lie at one place"),
        (lambda: enhanced(TRUTH, places(), [0, 1, 2, 5, 6, 7]), "not evenly spaced"),
        (lambda: enhanced(TRUTH, places(), list(range(8)), measures=False), "size of its pixels"),
        (
            lambda: enhanced(TRUTH, places(), list(range(8)), TemporalPositionIndex=[1] * 4 + [2] * 4),
            "TemporalPositionIndex 1 and 2",
        ),
    ],
)
def test_frames_that_are_no_stack_are_refused(tmp_path, make, words):
    with pytest.raises(ImageError, match=words):
        read_volume([save(tmp_path / "scan", [make()])])


def test_planes_of_a_dose_lie_at_their_offsets(tmp_path):
    offsets = [0.0, 2, 4, 6, 8, 10, 12, 14]
    dose = made_dicom.plane(TRUTH, places()[0], 1, sop=DOSE, NumberOfFrames=8, GridFrameOffsetVector=offsets)
    check_places(save(tmp_path / "scan", [dose]))
    cine = made_dicom.plane(TRUTH, places()[0], 1, NumberOfFrames=8)
    with pytest.raises(ImageError, match="8 of 8 slices have no"):
        read_volume([save(tmp_path / "cine", [cine])])


@pytest.mark.parametrize(
    "name", ["IM{:04d}", "IM{:04d}.DCM", "{:04d}.IMA", "1.2.840.{}", "{}.dicom", "slice.{:03d}"]
)
def test_slices_may_be_called_anything(tmp_path, name):
    folder = save(tmp_path / "scan", shuffled(stack()), name)
    (folder / "DICOMDIR").write_bytes(b"")
    (folder / "DICOMDIR").unlink()
    (folder / "notes.txt").write_text("taken on a Monday")
    (folder / ".hidden").write_bytes(b"")
    volume = check_places(folder)
    assert volume.frame.spacing[0] == 2.0
    task = Task(channels=("MR",), labels={"background": 0, "box": 1})
    (case,) = images_only(folder, task).cases
    assert case.images == (folder,)
    (below,) = images_only(tmp_path, task).cases
    assert below.images == (folder,)
    first = folder / name.format(0)
    (single,) = images_only(first, task).cases
    assert read_volume(single.images).voxels.shape == (1, 1, 5, 6)


def test_a_lone_slice_is_an_image(tmp_path):
    folder = save(tmp_path / "scan", stack()[2:3])
    volume = read_volume([folder / "IM0000.dcm"])
    np.testing.assert_array_equal(volume.voxels[0, 0], TRUTH[2])
    assert volume.frame.spacing == (2.0, *SPACING)
    np.testing.assert_allclose(volume.frame.origin, places()[2])
    placeless = save(tmp_path / "placeless", stack(voxels=TRUTH[:1], at=[None], SliceThickness=None))
    assert "single slice without a thickness" in read_volume([placeless]).remarks[0]


@pytest.mark.parametrize("end", [".dcm", ".IMA"])
def test_a_damaged_slice_is_named(tmp_path, end):
    folder = save(tmp_path / "scan", stack(), "IM{:04d}" + end)
    whole = (folder / f"IM0003{end}").read_bytes()
    for spoilt, words in (
        (b"", "empty"),
        (b"hello" * 100, "not DICOM|cannot be read|found"),
        (whole[:200], "cannot be read|not DICOM"),
        (whole[:-20], "truncated"),
    ):
        (folder / f"IM0003{end}").write_bytes(spoilt)
        with pytest.raises(ImageError, match=rf"scan: .*IM0003{end}.*({words}).*again"):
            read_volume([folder])
    (folder / f"IM0003{end}").unlink()
    os.mkfifo(folder / f"IM0003{end}")
    with pytest.raises(ImageError, match=r"a pipe"):
        read_volume([folder])


def test_what_lies_beside_the_slices_is_let_be(tmp_path):
    folder = save(tmp_path / "scan", stack())
    report = made_dicom.plane(
        TRUTH[0], None, 1, sop=REPORT, series=f"{ROOT}.7", Rows=None, Columns=None, PixelData=None
    )
    save(folder, [report], "report.dcm")
    (folder / "more").mkdir()
    check_places(folder)


def test_the_order_of_the_files_is_that_of_the_slices(tmp_path):
    folder = save(tmp_path / "scan", shuffled(stack()))
    files = dicom.series_files(folder)
    assert [SHUFFLED[int(Path(file).stem[2:])] for file in files] == list(range(8))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("at", [places(), tilted(20)], ids=["straight", "tilted"])
def test_an_answer_lies_where_the_series_does(tmp_path, ending, at):
    volume = read_volume([save(tmp_path / "scan", shuffled(stack(at=at)))])
    label = (volume.voxels[0] > 300).astype(np.uint8)
    write_label(tmp_path / f"label{ending}", label, volume)
    back = read_label(tmp_path / f"label{ending}")
    np.testing.assert_array_equal(back.voxels[0], label)
    assert back.frame.distance(volume.frame, label.shape) < 1e-3


def test_a_series_has_one_channel(tmp_path):
    with pytest.raises(ImageError, match="one channel, 2 are promised"):
        read_volume([save(tmp_path / "scan", stack())], channels=2)


@pytest.mark.slow
@pytest.mark.real
def test_real_series_are_read_as_itk_reads_them(real_data):
    reader = SimpleITK.ImageSeriesReader
    folders = sorted({path.parent for path in (real_data / "dicom").rglob("*.dcm")})
    assert len(folders) == 3
    for folder in folders:
        volume = read_volume([folder], "stored")
        (series,) = reader.GetGDCMSeriesIDs(str(folder))
        image = SimpleITK.ReadImage(reader.GetGDCMSeriesFileNames(str(folder), series))
        np.testing.assert_array_equal(volume.voxels[0], SimpleITK.GetArrayFromImage(image))
        np.testing.assert_allclose(volume.frame.spacing, image.GetSpacing()[::-1], rtol=1e-6)
        np.testing.assert_allclose(volume.frame.origin, image.GetOrigin())
        np.testing.assert_allclose(volume.frame.direction, image.GetDirection(), atol=1e-6)
        assert not volume.remarks


@pytest.mark.parametrize("syntax", ["implicit", "big endian", "deflated", "RLE", "no preamble"])
@pytest.mark.parametrize("name", ["IM{:04d}.dcm", "IM{:04d}"])
def test_every_way_of_storing_is_read(tmp_path, syntax, name):
    slices = stack()
    for one in slices:
        if syntax == "RLE":
            one.compress(RLELossless)
        elif syntax == "big endian":
            one.PixelData = np.frombuffer(one.PixelData, "<i2").astype(">i2").tobytes()
            one["PixelData"].VR = "OW"
        elif syntax != "no preamble":
            one["PixelData"].VR = "OW"
        syntaxes = {
            "implicit": ImplicitVRLittleEndian,
            "big endian": ExplicitVRBigEndian,
            "deflated": DeflatedExplicitVRLittleEndian,
        }
        one.file_meta.TransferSyntaxUID = syntaxes.get(syntax, one.file_meta.TransferSyntaxUID)
    folder = tmp_path / "scan"
    folder.mkdir()
    for number, one in enumerate(shuffled(slices)):
        path = folder / name.format(number)
        pydicom.dcmwrite(path, one, enforce_file_format=True)
        if syntax == "no preamble":
            path.write_bytes(path.read_bytes()[132:])
    if syntax == "no preamble" and not name.endswith(".dcm"):
        with pytest.raises(ImageError, match="found 0"):
            read_volume([folder])
        return
    check_places(folder)


@pytest.mark.parametrize("number", [0, 3, 7])
@pytest.mark.parametrize("kept", [140, 500, 800])
@pytest.mark.parametrize("name", ["IM{:04d}.dcm", "IM{:04d}"])
def test_a_slice_cut_short_is_never_left_out_in_silence(tmp_path, number, kept, name):
    save(tmp_path / "series", stack(), name)
    file = tmp_path / "series" / name.format(number)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ImageError, match=re.escape(file.name)):
        read_volume([tmp_path / "series"])


@pytest.mark.parametrize("damaged", [0, 5])
@pytest.mark.parametrize("size", [(4, 4), (30, 40)])
def test_a_slice_whose_pixels_are_not_of_its_headers_shape_is_named(tmp_path, damaged, size):
    slices = stack()
    for number, one in enumerate(slices):
        stream = io.BytesIO()
        shape = size if number == damaged else (one.Columns, one.Rows)
        Image.new("L", shape, 40 + number).save(stream, "JPEG")
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 8, 8, 7, 0
        one.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
        one["PixelData"].VR = "OB"
        one.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    with pytest.raises(ImageError, match=rf"scan: .*IM000{damaged}.dcm.*again"):
        read_volume([save(tmp_path / "scan", slices)])
