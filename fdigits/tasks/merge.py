"""Task: a merger of an utterance's frames into one code, which learns from codes of pairs."""

from ml_collections import ConfigDict

from fdigits.config import choose
from fdigits.models.frames import UtteranceMerger
from fdigits.tasks.autoencode import Coding

POOLS = ("last", "mean")


class Merge(Coding):
    """Squared error of the predicted code of the next pair of frames (R4 Problem 1, approach B).

    Its module `encoder` is to start from an autoencoder's and to stay frozen: what the merger has
    to predict would else move with it.
    """

    PREDICTIONS = ("error",)

    FIELDS = ("bottleneck", "pool")

    @classmethod
    def of(cls, config: ConfigDict) -> "Merge":
        """Of `config.model`: `bottleneck` of the pairs' codes, and `pool` "last" or "mean".

        Raises:
          UserError: no such pool.
        """
        pool = choose(config.model.pool, dict(zip(POOLS, POOLS, strict=True)), "model.pool")
        return cls(UtteranceMerger(config.model.bottleneck, pool), config)
