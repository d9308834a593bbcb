import csv
import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from fdigits.data import recordings
from fdigits.data.corpora import audio_files, bundled, fsdd
from fdigits.errors import UserError
from tests.data.source_files import wav

RATE = 16_000
SPOKEN = [bundled.FOLDER / bundled.SAMPLES / f"{digit}.wav" for digit in range(10)]
SECOND = np.arange(RATE) / RATE


def spoken(digit: int) -> np.ndarray:
    """A word of the embedded set, without the zeros around it."""
    signal, rate = soundfile.read(SPOKEN[digit], dtype="float32")
    assert rate == RATE
    sound = np.flatnonzero(np.abs(signal) > 0.01 * np.abs(signal).max())
    return signal[sound[0] : sound[-1]]


def noise(n: int, colour: float = 0, seed: int = 0) -> np.ndarray:
    """Noise of root mean square 1 whose amplitude falls by frequency ** -colour."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=n))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** colour
    spectrum[0] = 0
    made = np.fft.irfft(spectrum, n)
    return made / made.std()


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The greatest correlation of two words, one moved by at most 0.1 s, of either polarity."""
    n = 1 << 15
    one, other = one.astype(float), other.astype(float)
    both = 4 * np.fft.irfft(np.fft.rfft(one, n) * np.conj(np.fft.rfft(other, n)), 4 * n)
    near = np.concatenate([both[:3_200], both[-3_200:]])  # by quarters of a sample
    return np.abs(near).max() / (np.linalg.norm(one) * np.linalg.norm(other))


def envelope(word: np.ndarray) -> np.ndarray:
    """Its loudness [10000] over 20 ms."""
    return np.sqrt(np.convolve(np.square(word, dtype=float), np.hanning(160), "same"))


@pytest.mark.parametrize("digit", range(10))
def test_a_word_is_heard(digit):
    heard = recordings.read(SPOKEN[digit])
    assert heard.digit and not heard.warnings
    assert (heard.word.shape, heard.word.dtype) == ((10_000,), np.int16)
    assert abs(recordings.loudness(heard.word / 32_768) - recordings.LEVEL) < 0.04
    sound = np.flatnonzero(heard.word)
    assert abs(sound[[0, -1]].mean() - 5_000) < 200
    assert not heard.word[:500].any() and not heard.word[-500:].any()
    np.testing.assert_array_equal(heard.word, recordings.word(*soundfile.read(SPOKEN[digit])))


@given(
    digit=st.integers(0, 9),
    before=st.floats(0, 2),
    behind=st.floats(0, 2),
    level=st.floats(1e-3, 3),
    offset=st.floats(-0.3, 0.3),
    rate=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    right=st.sampled_from([None, 1.0, 0.2, 0.0, -1.0]),
)
def test_how_it_was_recorded_does_not_matter(digit, before, behind, level, offset, rate, right):
    signal = np.pad(spoken(digit), (int(before * RATE), int(behind * RATE)))
    signal = audio_files.resampled(signal, RATE, rate) * level + offset
    if right is not None:
        signal, _ = recordings.mono(np.stack([signal, right * signal], 1))
    heard = recordings.hear(signal, rate)
    assert heard.digit
    assert likeness(heard.word, recordings.word(spoken(digit), RATE)) > 0.97


@pytest.mark.parametrize("colour", [0, 0.5])
@pytest.mark.parametrize("seconds", [0, 1, 4])
def test_a_word_amid_noise(colour, seconds):
    """10 dB below the word; nothing of the word is lost."""
    for digit in range(10):
        word = spoken(digit)
        n = max(len(word), seconds * RATE)
        at = (n - len(word)) * 2 // 3
        signal = noise(n, colour, digit) * np.sqrt(np.square(word).mean() / 10)
        signal[at : at + len(word)] += word
        heard = recordings.hear(signal, RATE)
        assert heard.digit
        alone = recordings.word(word, RATE)
        assert likeness(heard.word, alone) > 0.8
        if seconds == 4:  # the noise far from the word is gone
            assert np.count_nonzero(heard.word) < len(word) / 2 + 2 * 1_200 + 1_000


@pytest.mark.parametrize("kind", ["clicks", "clipped", "band", "room", "knock"])
def test_words_in_trouble(kind):
    for digit in range(10):
        word = spoken(digit)
        signal = np.pad(word, (RATE, RATE // 2)) + 1e-4 * noise(len(word) + RATE * 3 // 2)
        if kind == "clicks":
            signal[[3_000, RATE + 1_000, len(signal) - 900]] += [0.9, -0.9, 0.9]
        elif kind == "clipped":
            signal = np.clip(20 * signal / np.abs(signal).max(), -1, 1)
        elif kind == "band":  # a telephone's
            spectrum, f = np.fft.rfft(signal), np.fft.rfftfreq(len(signal), 1 / RATE)
            signal = np.fft.irfft(np.where((f > 300) & (f < 3_400), spectrum, 0), len(signal))
        elif kind == "room":
            echo = noise(RATE // 2) * np.exp(-np.arange(RATE // 2) / (0.08 * RATE)) * 0.05
            signal = np.convolve(signal, np.append(1, echo))
        else:
            signal[2_000:2_800] += np.hanning(800) * noise(800, 1) * 0.3
        heard = recordings.hear(signal, RATE)
        assert heard.digit
        assert likeness(envelope(heard.word), envelope(recordings.word(word, RATE))) > 0.85


def beep(sound: np.ndarray) -> np.ndarray:
    return np.pad(sound[: RATE // 2], RATE // 2) + 1e-3 * noise(RATE * 3 // 2)


HUM = sum(np.sin(2 * np.pi * 50 * k * SECOND + k) / k for k in range(1, 12))
NOTHING = {
    "silence": (np.zeros(RATE), "silence"),
    "a constant": (np.full(RATE, 0.4), "silence"),
    "the last bit": (np.random.default_rng(0).integers(0, 2, RATE) / 32_768, "steady"),
    "hum 50 Hz": (HUM, "steady"),
    "hum 60 Hz": (np.interp(SECOND * 1.2 % 1, SECOND, HUM), "steady"),
    "a click": (np.eye(1, RATE, 5_000)[0], "click"),
    "white noise": (noise(RATE), "steady"),
    "pink noise": (noise(RATE, 0.5), "steady"),
    "long noise": (noise(10 * RATE), "steady"),
    "short noise": (noise(RATE // 4), "steady"),
    "a tone": (np.sin(2 * np.pi * 440 * SECOND), "steady"),
    "a square wave": (np.sign(np.sin(2 * np.pi * 200.3 * SECOND)), "steady"),
    "a beep": (beep(np.sin(2 * np.pi * 1_000 * SECOND)), "steady"),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_no_word(kind):
    signal, says = NOTHING[kind]
    for level in (0.9, 0.02):
        heard = recordings.hear(signal * (1 if kind == "the last bit" else level), RATE)
        assert not heard.digit
        assert len(heard.warnings) == 1 and says in heard.warnings[0]
        assert "no word is heard" in heard.warnings[0]
        assert (heard.word.shape, heard.word.dtype) == ((10_000,), np.int16)


def test_warnings():
    sentence = np.concatenate([spoken(d) for d in (7, 0, 6, 4)])
    heard = recordings.hear(sentence, RATE)
    assert heard.digit and heard.warnings == ("longer than one word: the loudest 1.25 s are taken",)
    assert np.count_nonzero(heard.word) > 9_000
    word = np.pad(spoken(1), RATE // 2)
    faint = word + noise(len(word)) * np.sqrt(np.square(spoken(1)).mean() * 2)
    assert recordings.hear(faint, RATE).warnings == ("the noise is nearly as loud as the word",)


def test_channels():
    word = spoken(3)
    for channels, warns, likely in (
        ([word, word], False, word),
        ([word, 0 * word], False, word),
        ([0.5 * word, -word], True, word),
        ([word, -0.99 * word], True, word),
        ([0 * word, 0 * word, 0 * word, word], False, word),
        ([word], False, word),
    ):
        signal, warnings = recordings.mono(np.stack(channels, 1))
        assert bool(warnings) == warns
        assert abs(np.corrcoef(signal, likely)[0, 1]) > 0.999


def test_files(tmp_path):
    word = spoken(5)
    for name, subtype in (
        ("a.wav", "PCM_16"),
        ("a.wav", "FLOAT"),
        ("a.wav", "PCM_U8"),
        ("a.wav", "ULAW"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
    ):
        soundfile.write(tmp_path / name, np.stack([word, -word], 1), RATE, subtype=subtype)
        heard = recordings.read(tmp_path / name)
        assert heard.digit and "one of them is taken" in heard.warnings[0]
        assert likeness(heard.word, recordings.word(word, RATE)) > 0.95


@pytest.mark.parametrize("riff", [0, 0xFFFFFFFF])
@pytest.mark.parametrize("data", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_stream_is_read_as_far_as_it_goes(riff, data):
    whole = wav(900)
    at = whole.index(b"data") + 4
    sizes = [size.to_bytes(4, "little") for size in (riff, data)]
    stream = whole[:4] + sizes[0] + whole[8:at] + sizes[1] + whole[at + 4 :]
    for content, n in ((stream, 900), (stream[: at + 4 + 301], 150)):
        samples, rate = audio_files.decode("stream.wav", content)
        assert (len(samples), rate) == (n, 8_000)
        np.testing.assert_array_equal(samples, audio_files.decode("whole.wav", whole)[0][:n])


def test_a_wav_that_is_cut_off_says_so(tmp_path):
    word = wav(8_000)
    for share, told in ((1, ()), (0.6, ("the file is cut off: 60% of it is there",))):
        (tmp_path / "x.wav").write_bytes(word[: 44 + int(16_000 * share)])
        assert recordings.load(tmp_path / "x.wav")[2] == told


def test_files_that_cannot_be_heard(tmp_path):
    long = io.BytesIO()
    soundfile.write(long, np.zeros(200 * 8_000, np.int16), 8_000, format="FLAC")
    nan = io.BytesIO()
    soundfile.write(nan, np.array([0.1, np.nan, 0.2]), 8_000, format="WAV", subtype="FLOAT")
    for content, says in (
        (b"", "not a readable wav"),
        (b"GIF89a" + bytes(100), "not a readable wav"),
        (wav()[:30], "not a readable wav"),
        (
            b"\0\0\0\x20ftypM4A " + bytes(99),
            "it looks like M4A .*: save it as WAV, FLAC, OGG or MP3",
        ),
        (wav(0), "without samples"),
        (b"RIFF" + bytes(4) + b"WAVE" + b"data" + bytes(4), "not a readable wav"),
        (long.getvalue(), "lasts 200 s: give a recording of one word, at most 120 s"),
        (nan.getvalue(), "NaN or infinite samples"),
    ):
        (tmp_path / "x.wav").write_bytes(content)
        with pytest.raises(UserError, match=rf"x\.wav.*{says}") as told:
            recordings.read(tmp_path / "x.wav")
        assert "\n" not in str(told.value)
    for path in (tmp_path, tmp_path / "absent.wav"):
        with pytest.raises(UserError, match="cannot be read"):
            recordings.read(path)


@pytest.mark.real
def test_real_odd_inputs(real_data):
    folder = real_data / "odd_inputs"
    with (folder / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["file"].endswith(".wav")]
    assert len(rows) == 21
    for row in rows:
        heard = recordings.read(folder / row["file"])
        assert heard.digit == (row["digit"] != "none"), row
        assert heard.digit or heard.warnings


@pytest.mark.real
def test_real_recordings_are_heard(real_data):
    """At most 2 % of people's recordings are told to hold no word; of FSDD 0.2 %."""
    folder = real_data / "strangers"
    with (folder / "index.csv").open() as file:
        paths = [row["file"] for row in csv.DictReader(file) if row["file"].endswith(".wav")]
    assert len(paths) == 408
    assert np.mean([recordings.read(folder / path).digit for path in paths]) >= 0.98
    found = fsdd.read(fsdd.find(real_data))
    heard = [recordings.hear(signal, found.rate).digit for signal in found.signal]
    assert np.mean(heard) >= 0.998
