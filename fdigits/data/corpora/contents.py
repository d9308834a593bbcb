"""What a file holds, by its content and not by its name."""

import gzip
import zlib
from pathlib import Path

from fdigits.errors import UserError

ZIPPED = b"\x1f\x8b"  # how gzip begins
_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")


def unzipped(path: Path, content: bytes) -> bytes:
    """The content of a file, decompressed where it is gzip's, whatever the file is called.

    Raises:
      UserError: it is cut, damaged, or a web page.
    """
    if page := web_page(content):
        raise UserError(f"{path}: {page.removeprefix(', ')}: fetch it again")
    if not content.startswith(ZIPPED):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path}: cut or damaged gzip ({error}): fetch it again") from error


def web_page(content: bytes) -> str:
    """What to add to the words about a wrong file where it is what a server answered instead."""
    begins = content[:100].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return ", it looks like a web page: the download failed" if begins.startswith(_PAGE) else ""
