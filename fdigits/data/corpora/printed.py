"""Printed digits, drawn on the spot in the typefaces that matplotlib brings (DejaVu, STIX, CM).

A serif of the 1, a closed 4, an upright 7: forms that MNIST's writers seldom use and others do.
"""

from pathlib import Path

import numpy as np

from fdigits.data.corpus import CLASSES, SIDE, Corpus
from fdigits.data.pictures import BOX, centre

SANS = [f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")]
MONO = [f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")]
SERIF = [f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")]
STIX = [f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")]
MODERN = ["cmr10", "cmss10", "cmtt10", "cmb10", "cmti10"]
FACES = (*SANS, *MONO, *SERIF, *STIX, *MODERN)
TEST = {"DejaVuSerif-Italic", "STIXGeneralBol", "cmtt10"}
_POINTS = 8 * SIDE  # drawn so large, then reduced


def read(name: str) -> dict[str, Corpus]:
    """Each digit in each typeface, in MNIST's form."""
    label = np.tile(np.arange(CLASSES, dtype=np.int32), len(FACES))
    face = np.repeat(FACES, CLASSES)
    image = np.stack([drawn(f, str(d)) for f, d in zip(face, label, strict=True)])
    ids = np.array([f"{f}/{d}" for f, d in zip(face, label, strict=True)])
    part = np.where(np.isin(face, sorted(TEST)), "test", "train")
    return {"image": Corpus(name, image, label, ids, np.full(len(label), ""), part)}


def drawn(face: str, digit: str) -> np.ndarray:
    """A digit [28,28] uint8: 20 pixels on its longer side, its mass in the middle."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    paper = Image.new("L", (2 * _POINTS, 2 * _POINTS))
    font = ImageFont.truetype(str(file), _POINTS)
    ImageDraw.Draw(paper).text((_POINTS // 2, _POINTS // 4), digit, 255, font)
    ink = paper.crop(paper.getbbox())
    size = [max(1, round(side * BOX / max(ink.size))) for side in ink.size]
    return centre(np.asarray(ink.resize(size, Image.Resampling.BOX), np.float64))
