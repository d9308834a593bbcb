"""Augmentation, then a GAN, then R4's classifier on all (R4 Problem 3, the pipeline).

python launch.py --config=configs/gan_pipeline.py:[DATA,][real=300][,augmented=1000]
    [,synthetic=2000][,generator=cvae]

`real` pictures of each class and `augmented` ones that *combined* augmentation makes of them train
the GAN (100 epochs); R4's classifier learns from both and from `synthetic` drawn pictures of each
class (0, 1000, 2000, 3000, or all of these, one after the other). Else as `configs/gan.py`.

Reported (R4 Table 6, reduced_mnist, 300 + 1000): see REPORTED, in the order of `synthetic`.
"""

from configs import gan
from fdigits.config import parse_arg
from fdigits.errors import UserError

REPORTED = (0.9850, 0.9855, 0.9875, 0.9860)


def get_config(arg: str = ""):
    choice = parse_arg(arg, **gan.ARGUMENTS, augmented="100")
    augmented = choice["augmented"]
    if not (augmented.isdecimal() and int(augmented)):
        raise UserError(f"augmented={augmented}: it must be a number of pictures above 0")
    reported = REPORTED if (choice["real"], augmented) == ("300", "1000") else ()
    return gan.row("gan_pipeline", choice, "Table 6", reported, int(augmented), epochs=100)
