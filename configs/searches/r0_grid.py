"""R0's grid search over its ImageNet_CNN or AudioNet_CNN (R0, Section 2.4).

python launch.py --config=configs/searches/r0_grid.py[:DATA][,system=audio]

Reported: CNN layers "2 or 3", filters "32,64,128...", learning rate 1e-3 to 1e-5, epochs 10 to 100;
the best accuracy is chosen. Its chosen image model is (32, 64), 1e-3, 10 epochs; its audio model
(32, 64), 1e-4, 100 epochs.
The paper does not list the points of its grid: here two layers or three, each with as many filters
as the one before or twice as many, up to 128; early stopping cuts what no longer learns. The score
is the validation part's; the paper does not say of which part its "best accuracy" is.
Several processes started with the same command share the trials.
"""

from configs import audio, image
from fdigits.config import choose, parse_arg, search

FILTERS = ((32, 64), (64, 64), (64, 128), (32, 32, 64), (32, 64, 64), (32, 64, 128))


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="bundled", system="image")
    system = choose(choice["system"], dict(image=image, audio=audio), "system")
    space = dict(
        model=dict(filters=FILTERS),
        optimizer=dict(learning_rate=(1e-3, 1e-4, 1e-5)),
        epochs=(10, 30, 100),
    )
    base = system.get_config(choice["data"])
    return search(f"r0_grid-{base.name}", base, space, sampler="grid")
