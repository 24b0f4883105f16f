"""Pictures are images of one slice: colours are channels, a JSON beside tells the spacing."""

import json
import struct

import numpy as np
import pytest
import SimpleITK
from made_dicom import save, stack
from PIL import Image

import ingradient_pl as ip
from ingradient_pl.datasets.sources import images_only, read_source
from ingradient_pl.images import bounded_files, formats
from ingradient_pl.images.formats import ImageError, read_label, read_volume, write_label
from ingradient_pl.images.tiff_pages import check_pages
from ingradient_pl.inference.answer_files import target_files
from ingradient_pl.planning.settings import PlannerSettings
from ingradient_pl.store.build import build_store
from ingradient_pl.store.label_maps import label_files
from ingradient_pl.task import Task

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (5, 7)).astype(np.uint8)
COLOUR = RNG.integers(0, 255, (5, 7, 3)).astype(np.uint8)
STACK = RNG.integers(0, 60_000, (4, 5, 7)).astype(np.uint16)
LABEL = (GREY > 120).astype(np.uint8)


def saved(path, pixels, colours=False):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels, isVector=colours), str(path))
    return path


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".tiff", ".PNG", ".TIF"])
def test_grey_and_colours(tmp_path, ending):
    volume = read_volume([saved(tmp_path / f"a{ending}", GREY)])
    np.testing.assert_array_equal(volume.voxels, GREY[None, None])
    assert volume.frame.spacing == (1.0, 1.0, 1.0)
    colours = saved(tmp_path / f"b{ending}", COLOUR, colours=True)
    np.testing.assert_array_equal(
        read_volume([colours], channels=3).voxels, COLOUR.transpose(2, 0, 1)[:, None]
    )
    for channels in (None, 2):
        with pytest.raises(ImageError, match=r"3 colour\(s\), . channel\(s\) are promised.*channel_names"):
            read_volume([colours], channels=channels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_no_bit_is_lost(tmp_path, dtype, ending):
    high = RNG.integers(0, np.iinfo(dtype).max, (5, 7, 3)).astype(dtype)
    grey = read_volume([saved(tmp_path / f"a{ending}", high[..., 0])])
    np.testing.assert_array_equal(grey.voxels[0, 0], high[..., 0])
    colours = read_volume([saved(tmp_path / f"b{ending}", high, colours=True)], channels=3)
    np.testing.assert_array_equal(colours.voxels[:, 0], high.transpose(2, 0, 1))


def test_a_stack_of_pages_is_a_volume_and_goes_back(tmp_path):
    path = saved(tmp_path / "case_0000.tif", STACK)
    (tmp_path / "case.json").write_text(json.dumps({"spacing": [3, 0.5, 0.25]}))
    volume = read_volume([path])
    np.testing.assert_array_equal(volume.voxels[0], STACK)
    assert volume.frame.spacing == (3.0, 0.5, 0.25)
    label = (STACK > 30_000).astype(np.uint8)
    (tmp_path / "out").mkdir()
    write_label(tmp_path / "out" / "case.tif", label, volume)
    back = read_label(tmp_path / "out" / "case.tif")
    np.testing.assert_array_equal(back.voxels[0], label)
    assert back.frame == volume.frame
    with pytest.raises(ImageError, match="one slice, not 4"):
        write_label(tmp_path / "out" / "case.png", label, volume)


@pytest.mark.parametrize("mode", ["P", "1", "L", "RGB", "LA", "RGBA", "I;16"])
def test_labels_of_every_mode_are_their_integers(tmp_path, mode):
    path = tmp_path / "label.png"
    if mode == "P":
        picture = Image.fromarray(LABEL * 3, mode="P")
        picture.putpalette([7, 8, 9] * 256)
        picture.save(path)
        wanted = LABEL * 3
    else:
        array = LABEL.astype(bool) if mode == "1" else LABEL.astype(np.uint16) if mode == "I;16" else LABEL
        picture = Image.fromarray(array)
        (picture if mode in ("1", "L", "I;16") else picture.convert(mode)).save(path)
        wanted = LABEL
    np.testing.assert_array_equal(read_label(path).voxels[0, 0], wanted)


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("palette", ["greys", "other greys", "colours"])
def test_numbers_of_a_palette_are_labels_and_no_intensities(tmp_path, ending, palette):
    """But where each number is its own grey."""
    greys = np.arange(256).repeat(3)
    colours = {"greys": greys, "other greys": 255 - greys, "colours": np.roll(greys, 1)}[palette]
    picture = Image.fromarray(GREY, mode="P")
    picture.putpalette(colours.tolist())
    path = tmp_path / f"a{ending}"
    picture.save(path)
    np.testing.assert_array_equal(read_label(path).voxels[0, 0], GREY)
    if palette == "greys":
        np.testing.assert_array_equal(read_volume([path]).voxels[0, 0], GREY)
        return
    for paths, channels in (([path], None), ([path], 1), ([path, path], None)):
        with pytest.raises(ImageError, match=r"numbers of colours in a palette.*Save it grey"):
            read_volume(paths, channels=channels)


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("turned", [0, 1, 3, 6])
def test_a_picture_that_viewers_turn_is_told_of(tmp_path, ending, turned):
    picture = Image.fromarray(GREY)
    exif = picture.getexif()
    exif[0x0112] = turned
    picture.save(tmp_path / f"a{ending}", exif=exif)
    told = read_volume([tmp_path / f"a{ending}"])
    assert told.voxels.shape[2:] == GREY.shape
    assert [f"orientation {turned}" in remark for remark in told.remarks] == [True] * (turned > 1)


def test_how_opaque_a_pixel_is_is_left_out_with_a_remark(tmp_path):
    opaque = np.dstack([COLOUR, np.full((5, 7), 255, np.uint8)])
    assert not read_volume([saved(tmp_path / "a.png", opaque, colours=True)], channels=3).remarks
    glass = np.dstack([COLOUR, GREY])
    volume = read_volume([saved(tmp_path / "b.png", glass, colours=True)], channels=3)
    np.testing.assert_array_equal(volume.voxels[:, 0], COLOUR.transpose(2, 0, 1))
    assert "how opaque its pixels are was left out" in volume.remarks[0]
    assert len(read_volume([tmp_path / "b.png"], channels=4).voxels) == 4


@pytest.mark.parametrize(
    ("text", "spacing"),
    [('{"spacing": [2, 0.5, 0.25]}', (2.0, 0.5, 0.25)), ('{"spacing": [0.5, 0.25]}', (1.0, 0.5, 0.25))],
)
@pytest.mark.parametrize("name", ["case.json", "case_0000.json"])
def test_a_json_beside_tells_the_spacing(tmp_path, text, spacing, name):
    (tmp_path / name).write_text(text)
    assert read_volume([saved(tmp_path / "case_0000.png", GREY)]).frame.spacing == spacing


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[1, 2]",
        '{"spacing": 3}',
        '{"spacing": [1]}',
        '{"spacing": [0, 1, 1]}',
        '{"spacing": ["a", 1, 1]}',
        "[" * 10**5,
    ],
)
def test_a_spacing_that_cannot_be_used_is_told(tmp_path, text):
    (tmp_path / "case.json").write_text(text)
    with pytest.raises(ImageError, match=r"case(_0000\.png|\.json): "):
        read_volume([saved(tmp_path / "case_0000.png", GREY)])


@pytest.mark.parametrize("ending", [".jpg", ".JPEG"])
def test_a_jpeg_holds_no_labels(tmp_path, ending):
    Image.fromarray(LABEL).save(tmp_path / f"a{ending}")
    assert read_volume([tmp_path / f"a{ending}"]).voxels.size == LABEL.size
    with pytest.raises(ImageError, match=r"does not keep the numbers.*as \.png"):
        read_label(tmp_path / f"a{ending}")


def test_pictures_are_bounded(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", np.zeros((2000, 2000), np.uint8))
    monkeypatch.setattr(bounded_files, "available_memory", lambda: 2**20)
    with pytest.raises(ImageError, match=r"a\.png: its header promises"):
        read_volume([path])
    for name, content in (("text.png", b"hello" * 50), ("cut.png", path.read_bytes()[:200])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=rf"{name}: .*(cannot be read|truncated|name says so)"):
            read_volume([tmp_path / name])


def raw(folder, colours, cases=3):
    """A data set of pictures in nnU-Net's raw layout."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for number in range(cases):
        saved(folder / "imagesTr" / f"case_{number}_0000.png", COLOUR if colours else GREY, colours=colours)
        saved(folder / "labelsTr" / f"case_{number}.png", LABEL)
    names = {"0": "R", "1": "G", "2": "B"} if colours else {"0": "grey"}
    described = {"channel_names": names, "labels": {"background": 0, "road": 1}, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps({**described, "numTraining": cases}))
    return folder


@pytest.mark.parametrize("colours", [False, True])
def test_a_data_set_of_pictures_becomes_a_store(tmp_path, colours):
    folder = raw(tmp_path / "raw", colours)
    (folder / "imagesTr" / "case_1.json").write_text('{"spacing": [1, 0.5, 0.5]}')
    (folder / "labelsTr" / "case_1.json").write_text('{"spacing": [1, 0.5, 0.5]}')
    summary = build_store(read_source(folder), tmp_path / "store", progress=False)
    assert not summary.faults
    assert [case.spacing for case in summary.cases] == [(1, 1, 1), (1, 0.5, 0.5), (1, 1, 1)]
    assert summary.outcomes == {"done": 3}
    assert ip.plan(tmp_path / "store").patch[0] == 1
    assert PlannerSettings().plan(ip.CaseStore(tmp_path / "store")).patch[0] == 1
    for part in ("imagesTr", "labelsTr"):  # another spacing is another case
        (folder / part / "case_1.json").write_text('{"spacing": [1, 0.25, 0.25]}')
    again = build_store(read_source(folder), tmp_path / "store", progress=False)
    assert again.outcomes == {"rebuilt": 1, "skipped": 2}
    assert again.cases[1].spacing == (1, 0.25, 0.25)


def test_answers_are_written_in_the_format_of_the_source(tmp_path):
    folder = raw(tmp_path / "raw", colours=True)
    task = Task(channels=("R", "G", "B"), labels={"background": 0, "road": 1})
    source = images_only(folder / "imagesTr", task)
    assert [case.name for case in source.cases] == ["case_0", "case_1", "case_2"]
    targets = target_files(source.cases, tmp_path / "out")
    assert {path.suffix for path in targets.values()} == {".png"}
    assert formats.answer_ending(tmp_path / "photo.jpg") == ".png"
    assert formats.answer_ending(tmp_path / "scan.mgz") == ".nii.gz"
    assert formats.answer_ending(tmp_path / "scan.NII.GZ") == ".nii.gz"
    for case, target in zip(source.cases, targets.values(), strict=True):
        volume = read_volume(case.images, channels=3)
        write_label(tmp_path / target.name, LABEL[None], volume)
        np.testing.assert_array_equal(read_label(tmp_path / target.name).voxels[0, 0], LABEL)


def test_previews_beside_volumes_are_no_cases(tmp_path):
    task = Task(channels=("MR",), labels={"background": 0, "box": 1})
    for name in ("a.png", "a.jpg", "screenshot.tif"):
        saved(tmp_path / name, GREY)
    saved(tmp_path / "a.nrrd", STACK)
    assert [case.images[0].name for case in images_only(tmp_path, task).cases] == ["a.nrrd"]
    assert list(label_files(tmp_path)) == ["a"]
    scan = save(tmp_path / "dicom" / "scan", stack())
    saved(scan / "preview.jpg", GREY)
    assert [case.images for case in images_only(scan, task).cases] == [(scan,)]
    saved(tmp_path / "dicom" / "preview.png", GREY)
    assert [case.images for case in images_only(tmp_path / "dicom", task).cases] == [(scan,)]


def pages(path, places, big=False):
    """A TIFF of empty pages; each says where the next one is, and the header where the first."""
    form, step = ("<Q", 40) if big else ("<I", 40)
    content = bytearray(step * (len(places) + 1))
    start = b"II+\0\x08\0\0\0" if big else b"II*\0"
    content[: len(start)] = start
    struct.pack_into(form, content, len(start), places[0])
    for number, place in enumerate(places[1:], 1):
        struct.pack_into(form, content, number * step + (8 if big else 2), place)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("places", "wrong"),
    [
        ([40, 40], "circle"),
        ([40, 80, 120, 80], "circle"),
        ([40, 80, 4000], "beyond its end"),
        ([2**32 - 1], "beyond its end"),
        ([40, 80, 0], ""),
    ],
)
def test_pages_that_follow_each_other_for_ever_or_out_of_the_file_are_refused(tmp_path, places, wrong, big):
    path = pages(tmp_path / "a.tif", places, big)
    if not wrong:
        check_pages(path)
        return
    with pytest.raises(ImageError, match=rf"a\.tif: .*pages .*{wrong}"):
        read_volume([path])


def _pages(path, *pixels, compression=None):
    first, *more = map(Image.fromarray, pixels)
    first.save(path, save_all=True, append_images=more, compression=compression)
    return path


@pytest.mark.parametrize(
    "other",
    [
        *(np.zeros((5, 400), np.uint8), np.zeros((900, 7), np.uint8), np.zeros((4, 7), np.uint8)),
        *(GREY.astype(np.uint16), GREY.astype(np.int32), GREY.astype(np.float32), COLOUR, GREY > 0),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
@pytest.mark.parametrize("before", [1, 2])
def test_a_page_that_is_not_like_the_first_is_refused_before_it_is_read_into_its_room(
    tmp_path, other, before
):
    path = _pages(tmp_path / "a.tif", *[GREY] * before, other, GREY)
    with pytest.raises(ImageError, match=rf"a\.tif: .*page {before + 1} is of another size or kind"):
        read_volume([path])


def _unpacks(path):
    try:
        check_pages(path)
    except ImageError:
        return False
    return True


@pytest.mark.parametrize("packing", ["packbits", "tiff_adobe_deflate"])
@pytest.mark.parametrize("value", [1, 255])
def test_no_byte_of_a_packed_page_reads_as_what_no_other_program_reads(tmp_path, packing, value):
    """PackBits has no check sum: a changed pixel is another picture, a changed count is refused."""
    path = _pages(tmp_path / "a.tif", *(STACK % 9), compression=packing)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_volume([path]).voxels[0], STACK % 9)
    with Image.open(path) as picture:
        (begin,), (size,) = picture.tag_v2[273], picture.tag_v2[279]
    refused = 0
    for at in range(begin, begin + size, 3):
        path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
        if _unpacks(path):
            with Image.open(path) as picture:
                np.testing.assert_array_equal(read_volume([path]).voxels[0, 0], picture)
        else:
            refused += 1
    assert refused >= (size // 3 - 1 if packing != "packbits" else 2)
    path.write_bytes(whole[: begin + size])
    with pytest.raises(ImageError, match="beyond its end"):
        read_volume([path])


@pytest.mark.parametrize("compressor", ["NoCompression", "PackBits", "LZW", "Deflate"])
@pytest.mark.parametrize("pixels", [STACK, STACK[0], COLOUR, np.zeros((300, 300), np.uint8)], ids=np.shape)
def test_every_way_to_pack_a_tiff_is_read(tmp_path, compressor, pixels):
    writer = SimpleITK.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "a.tif"))
    writer.SetUseCompression(compressor != "NoCompression")
    writer.SetCompressor(compressor)
    writer.Execute(SimpleITK.GetImageFromArray(pixels, isVector=pixels is COLOUR))
    channels = 3 if pixels is COLOUR else None
    found = read_volume([tmp_path / "a.tif"], channels=channels).voxels
    np.testing.assert_array_equal(np.moveaxis(found, 0, -1).reshape(pixels.shape), pixels)
