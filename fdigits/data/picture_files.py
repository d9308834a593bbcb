"""Picture files of any kind, opened as one array: ground and ink as a person sees them."""

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fdigits.errors import UserError

LONGEST = 512  # pixels of a picture's longer side, enough for a pen line on a page
MOST = 64_000_000  # pixels that are decoded at all: 256 MB
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, MemoryError)


def load(path: Path) -> np.ndarray:
    """A picture file -> [h,w,3] float32 0..1, upright, at most about `LONGEST` high and wide.

    Transparency lies on white paper; where all that shows has one colour, its alpha is the ink.
    Of an animation the first picture is taken.

    Raises:
      UserError: no picture, a broken one, or one of more than `MOST` pixels.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            image.draft("RGB", (LONGEST, LONGEST))  # a JPEG file is decoded smaller
            if image.width * image.height > MOST:
                raise Image.DecompressionBombError
            return decoded(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise UserError(
            f"{path} has more than {MOST // 1_000_000} megapixels: give a smaller picture"
        ) from None
    except BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(
            f"{path} cannot be read as a picture ({reason}): give a PNG or JPEG"
        ) from None


def decoded(image: Image.Image) -> np.ndarray:
    """[h,w,3] float32 0..1 of an opened picture of any mode."""
    if image.mode[0] in "IF":  # 16 and 32 bits
        return np.repeat(reduced(deep(image))[..., None], 3, 2)
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            return on_paper(reduced(image))
    return reduced(image.convert("RGB"))[..., :3]


def deep(image: Image.Image) -> Image.Image:
    """Pixels of 16 or 32 bits, or floats, as floats 0..1: by the least range that holds them."""
    values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0).clip(0)
    bits = np.ceil(np.log2(values.max() + 1))
    top = 1 if image.mode == "F" and values.max() <= 1 else 2 ** max(bits, 8) - 1
    return Image.fromarray(values / np.float32(top))


def reduced(image: Image.Image) -> np.ndarray:
    """[h,w] or [h,w,c] float32 0..1: means of squares of pixels, not longer than `LONGEST`."""
    factor = -(-max(image.size) // LONGEST)
    pixels = np.asarray(image.reduce(factor) if factor > 1 else image, np.float32)
    return pixels if image.mode == "F" else pixels / 255


def on_paper(picture: np.ndarray) -> np.ndarray:
    """[h,w,4] 0..1 -> [h,w,3]: on white, or black ink where the alpha alone tells ink."""
    colour, alpha = picture[..., :3], picture[..., 3:]
    shown = colour[alpha[..., 0] > 0.5]
    if np.ptp(alpha) > 0.5 and (np.ptp(shown, 0) < 0.1).all():
        return np.repeat(1 - alpha, 3, 2)
    return colour * alpha + 1 - alpha
