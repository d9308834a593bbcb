"""The digit that someone wrote, said, or both.

from fdigits import Recogniser
recognise = Recogniser()
recognise(picture="7.jpg", recording="7.wav").digit
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from fdigits import trained
from fdigits.data import features, pictures, recordings
from fdigits.errors import UserError
from fdigits.files import path_of

HEARD = {
    "audio": features.mfcc,
    "spectrogram": features.spectrogram,
    "frames": lambda *recording: features.padded([features.frames(*recording)])[0],
    "mean_mfcc": features.mean_mfcc,
}


ALONE = "alone, since "  # a warning's beginning: the other file could not be read


@dataclasses.dataclass(frozen=True)
class Opinion:
    """What is seen or heard in one file, or in both together."""

    digit: int | None  # None: no digit
    probabilities: tuple[float, ...]  # of the ten digits, were there one


@dataclasses.dataclass(frozen=True)
class Recognition(Opinion):
    """What is recognised in a picture, a recording, or both together."""

    picture: str | None
    recording: str | None
    modalities: dict[str, Opinion]  # "picture", "recording": each one's own, where the model has it
    warnings: tuple[str, ...]

    def json(self) -> dict:
        """The fields as plain values."""
        return dataclasses.asdict(self)


class Read(NamedTuple):
    """A person's file as models read it."""

    inputs: dict[str, np.ndarray]  # modality -> one item, as a corpus holds it
    digit: bool  # False: whoever read it saw or heard none
    warnings: tuple[str, ...]


class Recogniser:
    """A finished run, or the weights that come with fdigits, for a person's own files.

    Args:
      run: the workdir of a finished run; None for the shipped weights.

    Raises:
      UserError: no finished run there.
    """

    def __init__(self, run: Path | str | None = None):
        self.trained = trained.load(path_of(run)) if run else trained.shipped()
        self.least = trained.thresholds(self.trained.workdir)
        task = self.trained.task
        self._probabilities = jax.jit(lambda *given: task.probabilities(task.evaluate(*given)))
        self._sources = trained.sources(
            self.trained.config, self.trained.task, self.trained.workdir
        ).values()

    def __call__(
        self, picture: Path | str | None = None, recording: Path | str | None = None
    ) -> Recognition:
        """The digit of a picture, of a recording, or of both.

        Raises:
          UserError: neither is given, or none can be read; what the run reads is not given or
            cannot be read, and it was not trained to do without.
        """
        return self.judged(self.read(picture, recording), picture, recording)

    def judged(
        self,
        read: Mapping[str, Read],
        picture: Path | str | None = None,
        recording: Path | str | None = None,
    ) -> Recognition:
        """As a call, of files that are read already.

        Args:
          read: "picture", "recording" -> `Read`, as `read` gives it.
          picture, recording: the files' names, for the answer and its warnings alone.
        """
        opinions = {kind: self._opinion(kind, one) for kind, one in read.items() if self._alone}
        warnings = [f"{kind}: {text}" for kind, one in read.items() for text in one.warnings]
        warnings += [
            f"{kind}: not looked at, {self.trained.config.name} reads none"
            for kind, file in (("picture", picture), ("recording", recording))
            if file is not None and kind not in self._kinds
        ]
        warnings += [
            f"{kind}: unlike any digit that the model has learnt"
            for kind, opinion in opinions.items()
            if opinion.digit is None and read[kind].digit
        ]
        if opinions:
            joint = together(list(opinions.values()))
            if len({opinion.digit for opinion in opinions.values()} - {None}) > 1:
                told = ", ".join(f"the {kind} {one.digit}" for kind, one in opinions.items())
                warnings.append(f"the two disagree: {told}")
        else:
            inputs = {name: x for one in read.values() for name, x in one.inputs.items()}
            joint = _opinion(self.probabilities(inputs), all(one.digit for one in read.values()))
        names = [str(file) if file is not None else None for file in (picture, recording)]
        return Recognition(joint.digit, joint.probabilities, *names, opinions, tuple(warnings))

    @property
    def _kinds(self) -> list[str]:
        """The kinds of file that the model reads."""
        wanted = set(self._sources)
        return ["picture"] * ("image" in wanted) + ["recording"] * bool(wanted - {"image"})

    @property
    def _alone(self) -> bool:
        """Whether one modality is enough."""
        return not self.trained.task.given or len(self._sources) == 1

    def read(self, picture, recording) -> dict[str, Read]:
        """Of the files that are given and that the model reads: "picture", "recording" -> `Read`.

        Raises:
          UserError: as a call.
        """
        wanted = set(self._sources)
        readers = {}
        if picture is not None and "image" in wanted:
            readers["picture"] = lambda: see(path_of(picture))
        if recording is not None and wanted - {"image"}:
            readers["recording"] = lambda: hear(path_of(recording), wanted - {"image"})
        read, failed = {}, {}
        for kind, reader in readers.items():
            try:
                read[kind] = reader()
            except UserError as error:
                failed[kind] = error
        if failed and not (read and self._alone):
            raise next(iter(failed.values()))
        for error in failed.values():  # what can be read is answered, and says what cannot
            kind, one = next(iter(read.items()))
            read[kind] = one._replace(warnings=(*one.warnings, f"{ALONE}{error}"))
        if not read:
            kinds = " or a ".join(self._kinds)
            raise UserError(f"{self.trained.config.name} reads a {kinds}: give one")
        return read

    def _opinion(self, kind: str, one: Read) -> Opinion:
        p_V = self.probabilities(one.inputs)
        return _opinion(p_V, one.digit and p_V.max() >= self.least.get(kind, 0))

    def probabilities(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probabilities `[10]` of the digits 0 to 9.

        Args:
          inputs: modality -> one item without a batch axis, as a corpus holds it.

        Raises:
          UserError: one is missing, or the run names no digits.
        """
        arrays = self.trained.arrays({name: x[None] for name, x in inputs.items()})
        p_BxV = self._probabilities(self.trained.params, self.trained.batch_stats, arrays)
        return np.asarray(p_BxV)[0]


def together(opinions: Sequence[Opinion]) -> Opinion:
    """The product of opinions: of those that see or hear a digit, if there are some."""
    sure = [one for one in opinions if one.digit is not None]
    log_p_V = sum(np.log(np.maximum(one.probabilities, 1e-12)) for one in sure or opinions)
    p_V = np.exp(log_p_V - log_p_V.max())
    return _opinion(p_V / p_V.sum(), bool(sure))


def _opinion(p_V: np.ndarray, digit: bool) -> Opinion:
    return Opinion(int(p_V.argmax()) if digit else None, tuple(map(float, p_V)))


def see(picture: Path) -> Read:
    """A picture in MNIST's form.

    Raises:
      UserError: it cannot be read.
    """
    seen = pictures.read(picture)
    return Read({"image": seen.image}, seen.digit, seen.warnings)


def hear(recording: Path, wanted: Collection[str]) -> Read:
    """A recording as the modalities that are `wanted`.

    Raises:
      UserError: it cannot be read, or is too long.
    """
    signal, rate, mended = recordings.load(recording)
    heard = recordings.hear(signal, rate, str(recording))
    made = {name: HEARD[name](signal, rate, str(recording)) for name in HEARD if name in wanted}
    if "word" in wanted:
        made["word"] = heard.word
    return Read(made, heard.digit, mended + heard.warnings)
