import csv
import functools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fdigits.data import paper, picture_files, pictures, prepare
from fdigits.errors import UserError
from tests.data import troubles


@functools.cache
def items() -> np.ndarray:
    """Two digits of each class, [20,28,28]."""
    image = prepare.load("bundled")["image"]
    return np.concatenate([image.x[image.label == digit][:2] for digit in range(10)])


def colours(picture) -> np.ndarray:
    """[h,w] or [h,w,3] as float32 of three channels."""
    picture = np.asarray(picture, np.float32)
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)


def alike(one, other) -> float:
    """Correlation, where the two lie on each other best: the middle is rounded to a pixel."""
    moved = [np.roll(one, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(float(np.corrcoef(picture.ravel(), other.ravel())[0, 1]) for picture in moved)


def page(index=4) -> np.ndarray:
    """A digit, black on white, [392,392] uint8."""
    return np.round(255 - 255 * troubles.large(items()[index]).clip(0, 1)).astype(np.uint8)


# ---------------------------------------------------------------- files


def save(path, kind):
    """The page as a file of one kind."""
    grey = page()
    image, ink = Image.fromarray(grey), Image.fromarray(255 - grey)
    black = Image.new("L", image.size)
    if kind == "rgba.png":
        Image.merge("RGBA", [black, black, black, ink]).save(path)
    elif kind == "white ink.png":  # told by its alpha alone
        white = Image.new("L", image.size, 255)
        Image.merge("LA", [white, ink]).save(path)
    elif kind == "rgba colours.png":  # white paper that is not wholly there, around it nothing
        paper_ink = Image.fromarray(
            np.where(grey < 255, 255, np.arange(392) % 2 * 255).astype("u1")
        )
        Image.merge("RGBA", [image, image, image, paper_ink]).save(path)
    elif kind == "la.png":
        Image.merge("LA", [black, ink]).save(path)
    elif kind == "palette.png":
        flat = Image.fromarray((grey > 128).astype(np.uint8)).convert("P")
        flat.putpalette([0, 0, 0, 0, 0, 0])
        flat.save(path, transparency=1)
    elif kind == "16.png":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif kind == "16 dark.png":  # a scanner's 12 bits
        Image.fromarray(grey.astype(np.uint16) * 16).save(path)
    elif kind == "32.tiff":
        Image.fromarray(grey.astype(np.int32)).save(path)
    elif kind == "float.tiff":
        values = np.where(grey > 254, np.nan, grey / 255).astype(np.float32)
        Image.fromarray(np.nan_to_num(values, nan=1)).save(path)
    elif kind == "1.png":
        image.convert("1").save(path)
    elif kind == "cmyk.jpg":
        image.convert("CMYK").save(path)
    elif kind.startswith("exif"):
        turned = {"exif3.jpg": (3, 180), "exif6.jpg": (6, 90), "exif8.jpg": (8, 270)}[kind]
        exif = Image.Exif()
        exif[0x0112] = turned[0]
        image.rotate(turned[1]).save(path, exif=exif)
    elif kind == "moving.gif":
        image.save(path, save_all=True, append_images=[ink])
    else:
        image.convert("RGB").save(path)
    return path


KINDS = [
    "rgba.png", "white ink.png", "rgba colours.png", "la.png", "palette.png", "16.png",
    "16 dark.png", "32.tiff", "float.tiff", "1.png", "cmyk.jpg", "exif3.jpg", "exif6.jpg",
    "exif8.jpg", "moving.gif", "plain.jpg", "plain.webp", "plain.bmp", "plain.tiff",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_shows_the_same_digit(kind, tmp_path):
    seen = pictures.read(save(tmp_path / kind, kind))
    plain = pictures.bring(colours(page() / 255))
    assert seen.digit and not seen.warnings
    assert alike(seen.image, plain.image) > 0.95


def png(width, height) -> bytes:
    """A PNG file that says it has so many pixels, and holds none."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000)])
def test_a_huge_picture_is_refused_before_it_is_decoded(size, tmp_path, recwarn):
    (tmp_path / "huge.png").write_bytes(png(*size))
    with pytest.raises(UserError, match="more than 64 megapixels") as told:
        pictures.read(tmp_path / "huge.png")
    assert "\n" not in str(told.value) and not len(recwarn)


def test_a_large_photograph_is_decoded_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_files, "MOST", 2_000_000)
    large = Image.fromarray(page()).resize((2_400, 2_400))
    large.save(tmp_path / "large.jpg")
    assert max(picture_files.load(tmp_path / "large.jpg").shape) <= picture_files.LONGEST
    seen = pictures.read(tmp_path / "large.jpg")
    assert alike(seen.image, pictures.bring(colours(page() / 255)).image) > 0.95
    large.save(tmp_path / "large.png")
    with pytest.raises(UserError, match="megapixels"):
        pictures.read(tmp_path / "large.png")


@pytest.mark.parametrize("kind", ["plain.png", "plain.jpg", "plain.bmp", "plain.webp", "16.png"])
@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.6])
def test_a_truncated_file_is_one_line(kind, share, tmp_path):
    content = save(tmp_path / kind, kind).read_bytes()
    (tmp_path / kind).write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"cannot be read as a picture .*: give a PNG") as told:
        pictures.read(tmp_path / kind)
    assert "\n" not in str(told.value) and kind in str(told.value)


def test_what_is_no_file_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "absent.png"):
        with pytest.raises(UserError, match="cannot be read as a picture"):
            pictures.read(path)


@given(st.integers(0, 2**32 - 1))
def test_a_damaged_file_ends_in_a_picture_or_one_line(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("damaged") / "plain.png"
    kind = KINDS[rng.integers(len(KINDS))]
    content = bytearray(save(path.with_name(kind), kind).read_bytes())
    for place in rng.integers(0, len(content), 5):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    try:
        assert pictures.read(path).image.shape == (28, 28)
    except UserError as error:
        assert "\n" not in str(error)


# ---------------------------------------------------------------- MNIST's form


def test_a_picture_in_mnists_form_stays_as_it_is(tmp_path):
    for item in items():
        Image.fromarray(item).save(tmp_path / "item.png")
        seen = pictures.read(tmp_path / "item.png")
        np.testing.assert_array_equal(seen.image, item)
        assert seen.digit and not seen.warnings


def test_a_scan_dark_on_light_becomes_an_mnist_picture():
    scan = np.full((90, 70), 0.9)
    scan[20:80, 30:36] = 0.06  # a one, off the middle
    picture = pictures.bring(colours(scan)).image
    rows, columns = np.argwhere(picture > 128).min(0), np.argwhere(picture > 128).max(0)
    assert picture.shape == (28, 28) and picture.max() > 200 and picture[0].max() == 0
    assert (columns - rows + 1)[0] == 20 and abs((rows + columns)[1] / 2 - 13.5) <= 1


@pytest.mark.parametrize("pen", [1, 4, 20, 60])
def test_strokes_become_as_wide_as_mnists(pen):
    sheet = np.ones((900, 700))
    sheet[150:750, 350 : 350 + pen] = 0
    sheet[150 : 150 + pen, 150:350] = 0  # a seven
    seen = pictures.bring(colours(sheet))
    widths = (seen.image[10:20] / 255).sum(1)
    assert seen.digit and seen.image.max() == 255
    assert 1.5 <= np.median(widths) <= 4.5


@given(
    index=st.integers(0, 19),
    dark=st.floats(0, 0.3),
    light=st.floats(0.65, 1),
    turned=st.booleans(),
    around=st.tuples(*[st.integers(5, 120)] * 4),
    side=st.integers(60, 300),
)
def test_place_size_and_brightness_do_not_matter(index, dark, light, turned, around, side):
    ink = np.asarray(Image.fromarray(items()[index]).resize((side, side), Image.Resampling.BICUBIC))
    ink = np.pad(ink / 255, [around[:2], around[2:]])
    grey = dark + (light - dark) * (ink if turned else 1 - ink)
    seen = pictures.bring(colours(grey))
    assert seen.digit
    assert alike(seen.image, pictures.bring(colours(page(index) / 255)).image) > 0.9


# ---------------------------------------------------------------- troubles


@pytest.mark.parametrize("trouble", troubles.TROUBLES, ids=lambda trouble: trouble.__name__)
def test_a_digit_is_seen_through_every_trouble(trouble):
    rng = np.random.default_rng(0)
    seen = [pictures.bring(colours(trouble(item, rng))) for item in items()]
    plain = [pictures.bring(colours(page(index) / 255)) for index in range(20)]
    close = [alike(a.image, b.image) for a, b in zip(seen, plain, strict=True)]
    assert sum(one.digit for one in seen) >= 19
    assert np.quantile(close, 0.1) > 0.6, np.round(close, 2)


@pytest.mark.parametrize("kind", troubles.NOTHING, ids=lambda kind: kind.__name__)
def test_what_is_no_digit_is_told(kind):
    rng = np.random.default_rng(0)
    seen = [pictures.bring(colours(kind(rng))) for _ in range(20)]
    assert sum(not one.digit and len(one.warnings) > 0 for one in seen) >= 18


def test_several_digits_are_told():
    rng = np.random.default_rng(0)
    told = []
    for _ in range(20):
        chosen = items()[rng.integers(0, 20, rng.integers(2, 4))]
        told.append(pictures.bring(colours(troubles.side_by_side(chosen, rng))))
    assert sum(not one.digit for one in told) >= 18
    assert sum("beside each other" in " ".join(one.warnings) for one in told) >= 14


def test_strokes_apart_are_one_digit():
    sheet = np.ones((200, 200))
    sheet[60:160, 110:118] = 0  # a four in two strokes
    sheet[60:110, 60:68] = sheet[102:110, 60:106] = 0
    seen = pictures.bring(colours(sheet))
    assert seen.digit and (seen.image > 128).any(0).sum() >= 11


def test_tiny_and_narrow_pictures_are_answered():
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (1, 400), (400, 1), (2, 2), (3, 900), (5, 7)]:
        seen = pictures.bring(colours(rng.random(shape)))
        assert seen.image.shape == (28, 28)


def test_squares_at_the_edge_are_smaller():
    picture = np.arange(35.0).reshape(5, 7, 1)
    np.testing.assert_array_equal(
        paper.squares(picture, 4)[..., 0], [[8, 10, 12, 13], [22, 24, 26, 27], [29, 31, 33, 34]]
    )
    np.testing.assert_array_equal(paper.coarse(picture, 4)[0, :, 0], [4, 6, 8, 9.5])


# ---------------------------------------------------------------- real data


@pytest.fixture
def mnist(real_data):
    """Train and test items."""
    corpus = prepare.load("mnist", real_data)["image"]
    return {
        part: (corpus.x[corpus.part == part], corpus.label[corpus.part == part])
        for part in ("train", "test")
    }


@pytest.mark.real
def test_nearly_all_of_mnist_stays_as_it_is(mnist):
    same = [np.array_equal(pictures.bring(colours(x / 255)).image, x) for x in mnist["test"][0]]
    assert np.mean(same) > 0.99


@pytest.mark.real
@pytest.mark.slow
def test_a_classifier_of_mnist_reads_transformed_items(mnist):
    from sklearn.svm import SVC

    x, label = mnist["train"]
    read = SVC(C=10).fit(x[:5_000].reshape(-1, 784) / 255, label[:5_000])
    x = mnist["test"][0][:30]
    plain = read.predict(x.reshape(-1, 784) / 255)
    rng = np.random.default_rng(0)
    same = []
    for trouble in troubles.TROUBLES:
        seen = [pictures.bring(colours(trouble(item, rng))) for item in x]
        found = read.predict(np.stack([one.image for one in seen]).reshape(-1, 784) / 255)
        same += list((found == plain) & [one.digit for one in seen])
    assert np.mean(same) >= 0.96


@pytest.mark.real
def test_odd_files_hold_a_digit_or_none_as_their_index_says(real_data):
    folder = real_data / "odd_inputs"
    with (folder / "index.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if not row["file"].endswith(".wav")]
    wrong = [
        row["file"]
        for row in rows
        if pictures.read(folder / row["file"]).digit == (row["digit"] == "none")
    ]
    assert len(rows) == 48 and not wrong
