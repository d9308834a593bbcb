"""Every data set once. A new one needs a record here and a reader in `corpora/`, nothing else.

A reader is a module of `fdigits/data/corpora/` that offers

- `FOLDERS`: the folders below the data folder in which its files may lie, the usual one first;
- `find(data_dir) -> list[Path]`: its source files there, [] where they are not whole; and
- `read(paths)`: what is in them, with a `UserError` that names the file that is wrong. Images are a
  `Corpus`; recordings are `Recordings`, without their constant offset unless `keep_offset=True`
  (fdigits makes MFCC, spectrograms and frames of them); pairs are `{"image": Corpus, "audio":
  Corpus}`, where row i belongs to row i.

It may offer `doubts(paths, corpus)`: lines to tell a person at each start, such as files left out;
and `fetch(data_dir)`, which gets what is missing, where the record names no files to download.

A set that ships with the package offers `read(name)` alone: `{"image": Corpus}` or `{"audio":
Corpus}`. A set that is made on the user's machine has no files: `find` gives [], and `VERSION`
says when it is to be made anew.

Any set of images makes a pair with any set of recordings, `<image set>_<recording set>`. Sets of
one kind are joined by `+`: `fsdd+gsc_partial`, `mnist_fsdd+gsc_partial`.

What is found by its place has a name with a prefix, one of `PREFIXES`, which makes its records:

- `folder:PATH`: the pictures and the recordings below `PATH/{digit}/`; `pictures:PATH` and
  `recordings:PATH` are those alone;
- `tfds:NAME[/CONFIG]`: pictures of digits as TensorFlow Datasets has them;
- `mnist_folder:PATH`, `fsdd_folder:PATH`, `fsdd_tfds:NAME`: a pair with another set, of the kind
  which that lacks.

`PATH` goes to the name's end, or to a `+` before the name of another set.
"""

import dataclasses
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdigits.config import nearest
from fdigits.data.corpora import (
    audio_mnist,
    folder,
    fsdd,
    gsc_digits,
    gsc_partial,
    mnist,
    other_voices,
    tfds_folder,
    written_spoken,
)
from fdigits.data.corpus import RECORDED
from fdigits.errors import UserError


@dataclasses.dataclass(frozen=True)
class File:
    """A file to download."""

    name: str  # below the data set's folder
    url: str
    digest: str  # "sha256:..." or "md5:..." of the bytes, "wavs:..." of the wavs in a tar


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What fdigits knows of a data set before it reads one of its files."""

    name: str
    title: str = ""  # for captions; a pair's is made of its members'
    modalities: tuple[str, ...] = ()  # what it offers; the first is what a run gets unasked
    module: str = ""  # its reader's name in `corpora/`, where it is not the set's
    members: tuple[str, ...] = ()  # of a pair with a name of its own, which has no reader
    split: str = "paper"  # the policy of a run that names none
    paired: bool = False  # row i of one modality belongs to row i of the other
    disjoint: bool = False  # its official parts share no speaker
    ships: bool = False  # its features are in the package
    made: bool = False  # by a program on the user's machine
    joins: tuple["Dataset", ...] = ()  # the sets that it is made of, `a+b`
    own: bool = False  # a person's own data: each folder is another set
    source: Any = None  # its reader, where the place is in the name, `PREFIX:PLACE`
    folders: tuple[str, ...] = ()  # below the data folder; a download goes into the first
    home: str = ""  # where it comes from, for people
    licence: str = ""
    citation: str = ""
    needs: str = ""  # what to put into the folder by hand
    files: tuple[File, ...] = ()  # what to download
    doi: str = ""  # or of a Zenodo record, which knows files and digests,
    doi_files: tuple[str, ...] = ()  # and the names of those to take

    @property
    def recorded(self) -> bool:
        """Whether there are recordings from which any of `RECORDED` can be made."""
        return set(RECORDED) <= set(self.modalities)

    @property
    def short(self) -> str:
        """What its corpus is called: the name, without its prefix and the way to its place."""
        return self.title if self.source else self.name

    @property
    def reader(self) -> Any:
        """What reads it: the module in `corpora/`, or its `source`."""
        return self.source or importlib.import_module(
            f"fdigits.data.corpora.{self.module or self.name}"
        )


_MNIST = Dataset(
    "mnist",
    "MNIST",
    modalities=("image",),
    folders=mnist.FOLDERS,
    home="https://storage.googleapis.com/cvdf-datasets/mnist/",
    licence="none named; commonly given as CC BY-SA 3.0",
    citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to "
    "Document Recognition, Proceedings of the IEEE 86 (11), 1998",
    needs=f"{', '.join(mnist.MD5)} (plain or .gz)",
    files=tuple(
        File(name, f"https://storage.googleapis.com/cvdf-datasets/mnist/{name}", f"sha256:{digest}")
        for name, digest in {  # of the published .gz files
            "train-images-idx3-ubyte.gz": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
            ),
            "train-labels-idx1-ubyte.gz": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
            ),
        }.items()
    ),
)
_FSDD_COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
_OURS = "Apache-2.0, made by fdigits"
_SPEECH = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
_WARDEN = (
    "P. Warden: Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, "
    "arXiv:1804.03209, 2018"
)

_RECORDS = (
    _MNIST,
    dataclasses.replace(_MNIST, name="reduced_mnist", title="reduced MNIST"),
    Dataset(
        "digits",
        "scikit-learn digits",
        modalities=("image",),
        licence="CC BY 4.0",
        citation="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine "
        "Learning Repository, 1998",
        module="bundled",
        split="official",
        ships=True,
    ),
    Dataset(
        "printed",
        "printed digits",
        modalities=("image",),
        licence=_OURS,
        split="official",
        ships=True,
    ),
    Dataset(
        "sketched",
        "sketched digits",
        modalities=("image",),
        licence=_OURS,
        split="official",
        ships=True,
    ),
    Dataset(
        "fsdd",
        "FSDD",
        modalities=RECORDED,
        folders=fsdd.FOLDERS,
        home="https://github.com/Jakobovski/free-spoken-digit-dataset",
        licence="CC BY-SA 4.0",
        citation="Z. Jackson and contributors: Free Spoken Digit Dataset, "
        "doi:10.5281/zenodo.1342401",
        needs="its folder recordings/ or a tar of it",
        files=(
            File(
                f"free-spoken-digit-dataset-{_FSDD_COMMIT[:7]}.tar.gz",
                "https://codeload.github.com/Jakobovski/free-spoken-digit-dataset/tar.gz/"
                + _FSDD_COMMIT,
                # over "name sha256\n" of the commit's 3,000 wavs, sorted: GitHub's archives may
                # change
                "wavs:dbd573d7cafe79c4b49f65718115e1304e24e067fa39eff18a660dc6cb9c360f",
            ),
        ),
    ),
    Dataset(
        "gsc_digits",
        "Speech Commands digits",
        modalities=RECORDED,
        disjoint=True,
        folders=gsc_digits.FOLDERS,
        home=_SPEECH,
        licence="CC BY 4.0",
        citation=_WARDEN,
        needs="the archive (2.4 GB) or a folder or tar of {word}/{speaker}_nohash_{take}.wav "
        "(what TensorFlow Datasets prepares calls every digit _unknown_ and cannot serve)",
    ),
    Dataset(
        "audio_mnist",
        "AudioMNIST",
        modalities=RECORDED,
        disjoint=True,
        folders=audio_mnist.FOLDERS,
        home="https://github.com/soerenab/AudioMNIST",
        licence="MIT",
        citation="S. Becker, M. Ackermann, S. Lapuschkin, K.-R. Müller, W. Samek: Interpreting "
        "and Explaining Deep Neural Networks for Classification of Audio Signals, "
        "arXiv:1807.03418, 2018",
        needs="its folder data/ or a tar of it",
    ),
    Dataset(
        "gsc_partial",
        "Speech Commands, four digits in number",
        modalities=RECORDED,
        disjoint=True,
        folders=gsc_partial.FOLDERS,
        home=_SPEECH,
        licence="CC BY 4.0",
        citation=_WARDEN,
        needs="a folder or tar of {word}/{speaker}_nohash_{take}.wav",
    ),
    Dataset(
        "other_voices",
        "other voices",
        modalities=RECORDED,
        folders=other_voices.FOLDERS,
        home="https://github.com/secretlessai/audio-mnist",
        licence="MIT",
        needs="voice_a/{digit}/*.flac and audio_mnist/{speaker}/{digit}_{speaker}_{take}.wav",
    ),
    Dataset(
        "voices",
        "eSpeak NG in number (synthetic speech)",
        modalities=RECORDED,
        licence=_OURS,
        split="official",
        disjoint=True,
        made=True,
    ),
    Dataset(
        "espeak",
        "eSpeak NG (synthetic speech)",
        modalities=RECORDED,
        licence=_OURS,
        module="bundled",
        split="official",
        disjoint=True,
        ships=True,
    ),
    Dataset(
        "written_spoken",
        "Written and Spoken Digits",
        modalities=("image", "audio"),
        paired=True,
        disjoint=True,
        folders=written_spoken.FOLDERS,
        home="https://zenodo.org/record/4452953",
        licence="see its page",
        citation="L. Khacef, L. Rodriguez, B. Miramond: Written and Spoken Digits Database for "
        "Multimodal Learning, doi:10.5281/zenodo.4452953",
        needs=f"{', '.join(written_spoken.DATABASE)}; or {', '.join(written_spoken.CLASS_CODE)}; "
        "or remake it: python -m fdigits.data.corpora.written_spoken",
        doi="10.5281/zenodo.4452953",
        doi_files=written_spoken.DATABASE,
    ),
    Dataset(
        "bundled",
        members=("digits", "espeak"),
        split="official",
    ),
)
DATASETS = {record.name: record for record in _RECORDS}


def _folder(place: str, *modalities: str) -> tuple[Dataset, ...]:
    """The records of a folder's pictures and recordings, or of one of `modalities` alone."""
    root = Path(place).expanduser().resolve()
    held = [one for one in folder.modalities(root) if one in (modalities or folder.KINDS)]
    if not held:
        raise UserError(f"folder:{root} holds no {folder.KINDS[modalities[0]]}s of digits")
    return tuple(
        Dataset(
            f"{folder.KINDS[one]}s:{root}",
            root.name,
            modalities=RECORDED if one == "audio" else (one,),
            split="random",
            own=True,
            source=folder.Folder(root, one),
        )
        for one in held
    )


def _of_tfds(place: str) -> tuple[Dataset, ...]:
    """The record of a set of TensorFlow Datasets, `name[/config][:version]`."""
    return (
        Dataset(
            f"tfds:{place}",
            place.replace("/", "-"),
            modalities=("image",),
            source=tfds_folder.Pictures(place),
            home="https://www.tensorflow.org/datasets/catalog/overview",
        ),
    )


PREFIXES: dict[str, Callable[[str], tuple[Dataset, ...]]] = {
    "folder": _folder,
    "pictures": lambda place: _folder(place, "image"),
    "recordings": lambda place: _folder(place, "audio"),
    "tfds": _of_tfds,
}
_PLACE = re.compile(rf"(?:(\w+)_)?({'|'.join(PREFIXES)}):(.*)", re.DOTALL)


def find(name: str) -> tuple[Dataset, ...]:
    """The records of what `name` is made of: one set, or one of images and one of recordings.

    `a+b+...` joins sets of one kind to one: its record has no reader.

    Raises:
      UserError: no such data set; names the nearest. Sets that cannot be joined.
    """
    first, *further = _terms(name)
    *before, last = _known(first)
    return (*before, _joined(last, further) if further else last)


def _terms(name: str) -> list[str]:
    """`a+b` -> a, b; a `+` within a place stays in it."""
    first, *further = name.split("+")
    terms = [first]
    for term in further:
        if _PLACE.match(terms[-1]) and not _PLACE.match(term) and term not in _names():
            terms[-1] += f"+{term}"
        else:
            terms.append(term)
    return terms


def _known(name: str) -> tuple[Dataset, ...]:
    if found := _PLACE.fullmatch(name):
        other, prefix, place = found.groups()
        records = PREFIXES[prefix](place)
        return _with(_known(other), records) if other else records
    known = _names()
    if name not in known:
        raise UserError(
            f"unknown data set {name!r}{nearest(name, known)}; there are {', '.join(DATASETS)} "
            f"and <image set>_<recording set>, and {':..., '.join(PREFIXES)}:..."
        )
    return tuple(DATASETS[member] for member in known[name])


def _with(others: tuple[Dataset, ...], placed: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
    """A pair of one set and of what is of the other kind at a place, the images first."""
    kinds = {"image", "audio"}
    fits = [one for one in placed if {one.modalities[0], others[0].modalities[0]} == kinds]
    if not fits or len(others) > 1 or others[0].paired:
        names = " and ".join(one.name for one in (*others, *placed))
        raise UserError(f"{names} make no pair: that is of one set of images and one of recordings")
    return tuple(sorted((*others, *fits), key=lambda one: one.modalities[0] != "image"))


def _joined(first: Dataset, names: list[str]) -> Dataset:
    """The record of several sets of one kind; of a folder of both kinds the one that fits."""
    sets = [first]
    for name in names:
        found = _known(name)
        fits = [one for one in found if one.modalities[0] == first.modalities[0]]
        sets += (fits if found[0].source else ()) or found
    for one in sets:
        if one.paired or one.modalities[0] != first.modalities[0]:
            raise UserError(f"{first.name}+{one.name}: only sets of one kind are joined")
    joined = "+".join(one.name for one in sets)
    if len({one.short for one in sets}) < len(sets):
        raise UserError(f"{joined}: a data set is there twice, or two have one name")
    return Dataset(
        joined,
        " + ".join(one.title for one in sets),
        modalities=first.modalities,
        disjoint=all(one.disjoint for one in sets),
        joins=tuple(sets),
    )


def _names() -> dict[str, tuple[str, ...]]:
    """Names without a place, and the names of the records of each."""
    return {one.name: one.members or (one.name,) for one in DATASETS.values()} | pairs()


def pairs() -> dict[str, tuple[str, str]]:
    """Each set of images with each set of recordings, by the pair's name."""
    single = [one for one in DATASETS.values() if not one.paired]
    images = [one.name for one in single if "image" in one.modalities]
    heard = [one.name for one in single if "audio" in one.modalities]
    return {f"{image}_{audio}": (image, audio) for image in images for audio in heard}


def singles(name: str) -> list[Dataset]:
    """The records of the single sets that `name` is made of, joined ones taken apart.

    Raises:
      UserError: as `find`.
    """
    return [part for one in find(name) for part in one.joins or (one,)]


def title(name: str) -> str:
    """A data set in words, "mnist_fsdd" -> "MNIST × FSDD"; a name without a record is its own."""
    try:
        return " × ".join(one.title for one in find(name))
    except UserError:
        return name


def default_split(name: str) -> str:
    """The split policy of a run that names none: the record's, "paper" for any pair of sets.

    Raises:
      UserError: as `find`.
    """
    found = find(name)
    if name in DATASETS:
        return DATASETS[name].split
    return found[0].split if all(one.source for one in found) else "paper"


def is_paired(name: str) -> bool:
    """Whether row i of image and of audio belong together.

    Raises:
      UserError: as `find`.
    """
    return any(one.paired for one in find(name))
