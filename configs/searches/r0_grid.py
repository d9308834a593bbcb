"""R0's grid search of its models with convolutions (R0, Section 2.4).

python launch.py --config=configs/searches/r0_grid.py[:DATA][,model=image]

The ranges are R0's: 2 or 3 convolutions, whose first has 32, 64 or 128 filters and each further one
twice as many; a learning rate of 1e-3, 1e-4 or 1e-5; 10, 30 or 100 epochs, which early stopping
cuts (`--config.space.epochs=10,` for fewer). MODEL: hybrid (the default), image, audio. R0 chose
(32, 64) and 1e-3 for pictures and for both, 1e-4 for recordings. The score is of the validation
part; R0 does not say of which part its "best accuracy" is. Several processes started with the same
command share the trials.
"""

from fdigits.cells import load
from fdigits.config import choose, parse_arg, search

MODELS = {name: f"configs/{name}.py" for name in ("hybrid", "image", "audio")}

FILTERS = ((32, 64), (64, 128), (128, 256), (32, 64, 128), (64, 128, 256), (128, 256, 512))


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="bundled", model="hybrid")
    file = choose(choice["model"], MODELS, "model")
    space = dict(
        model=dict(filters=FILTERS),
        optimizer=dict(learning_rate=(1e-3, 1e-4, 1e-5)),
        epochs=(10, 30, 100),
    )
    base = load(f"{file}:{choice['data']}")
    return search(f"r0_grid-{base.name}", base, space, sampler="grid")
