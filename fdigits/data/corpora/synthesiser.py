"""Words spoken by eSpeak NG, through ctypes on the library that `espeakng-loader` brings (GPL).

The synthesiser carries state from word to word (flutter, breath), so the same list of words gives
the same samples only in a fresh process: `speak_lists` starts one for each list.
"""

import ctypes
import dataclasses
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fdigits.errors import UserError

SAMPLING_RATE = 22_050  # Hz, of every voice

# speak_lib.h of eSpeak NG
_SYNCHRONOUS, _PLAIN_UTF8, _BY_CHARACTER = 2, 1, 1
_RATE, _PITCH = 1, 3
_OK = 0
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclasses.dataclass(frozen=True)
class Utterance:
    word: str
    voice: str  # accent+variant, "en-us+f3"
    rate: int  # words a minute, 80 to 450 (eSpeak's own: 175)
    pitch: int  # 0 to 100 (eSpeak's own: 50)


def speak_lists(lists: Sequence[Sequence[Utterance]]) -> list[list[np.ndarray]]:
    """Samples [T] int16 at 22,050 Hz of each utterance; each list in a process of its own.

    Raises:
      UserError: no synthesiser, or it has no such voice.
    """
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(min(len(lists), os.cpu_count() or 1), maxtasksperchild=1) as pool:
        return pool.map(_speak, lists, chunksize=1)


def _speak(utterances: Sequence[Utterance]) -> list[np.ndarray]:
    library, variants = _library()
    pieces: list[np.ndarray] = []

    @_CALLBACK
    def collect(samples, count, _) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(collect)
    spoken = []
    for utterance in utterances:
        pieces.clear()
        variant = variants / utterance.voice.partition("+")[2]  # an unknown one is ignored
        if library.espeak_SetVoiceByName(utterance.voice.encode()) != _OK or not variant.is_file():
            raise UserError(f"eSpeak NG has no voice {utterance.voice!r}")
        library.espeak_SetParameter(_RATE, utterance.rate, 0)
        library.espeak_SetParameter(_PITCH, utterance.pitch, 0)
        text = utterance.word.encode() + b"\0"
        size = ctypes.c_size_t(len(text))
        status = library.espeak_Synth(text, size, 0, _BY_CHARACTER, 0, _PLAIN_UTF8, None, None)
        if status != _OK or not pieces:
            raise UserError(f"eSpeak NG spoke nothing for {utterance}")
        spoken.append(np.concatenate(pieces))
    return spoken


def _library() -> tuple[ctypes.CDLL, Path]:
    """The started library and the folder of its variants."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise UserError("no eSpeak NG synthesiser: pip install espeakng-loader") from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 500, data.encode(), 0)
    if rate != SAMPLING_RATE:
        raise UserError(f"eSpeak NG did not start (code {rate}): reinstall espeakng-loader")
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    return library, Path(data) / "voices" / "!v"
