"""Conditional DCGAN for scarce pictures, and R4's classifier on what it draws (R4 Problem 3).

python launch.py --config=configs/gan.py:[DATA,][real=300][,synthetic=1000][,generator=flow]

`real` pictures of each class (300, 700, 1000, or all) train an auxiliary classifier (MobileNetV2,
from scratch) and the GAN that it guides; then R4's classifier learns from them and from `synthetic`
drawn pictures of each class. `synthetic=all`, the default, is a whole row of the table: 0, 1000 and
2000 as stages, 3000 as the run itself. The judge that measures the drawings is PyTorch's MNIST
example, trained on all real pictures; it decides nothing. generator=flow: see `tasks/flow.py`.
DATA: digits (the default), reduced_mnist, mnist. As in the paper the test part is watched, and the
last weights are tested. The paper gives neither the noise's size nor learning rate: 100, 1e-4.

Reported (R4 Table 5, reduced_mnist): see REPORTED, in the order of `synthetic`.
"""

from fdigits.config import base, parse_arg
from fdigits.errors import UserError

SYNTHETIC = ("0", "1000", "2000", "3000")
REPORTED = {
    "300": (0.9785, 0.9485, 0.9400, 0.9110),
    "700": (0.9815, 0.9860, 0.9840, 0.9830),
    "1000": (0.9890, 0.9900, 0.9895, 0.9895),
}
WHOLE = {"reduced_mnist": "mnist"}  # what the judge learns from, where it is another set
PLAIN = dict(name="image", image="plain", width=128, dropout=0.5)


def get_config(arg: str = ""):
    defaults = dict(data="digits", real="100", synthetic="all", generator="gan")
    choice = parse_arg(arg, **defaults)
    real, synthetic = choice["real"], choice["synthetic"]
    if real != "all" and (not real.isdecimal() or not int(real)):
        raise UserError(f"real={real}: it must be a number of pictures per class above 0, or all")
    if synthetic not in SYNTHETIC and synthetic != "all":
        raise UserError(f"synthetic={synthetic}: choose one of {', '.join(SYNTHETIC)}, all")
    wanted = SYNTHETIC if synthetic == "all" else (synthetic,)
    config = classifier(f"gan_{real}_{wanted[-1]}", choice["data"], real, wanted[-1])
    config.stages = stages(choice["data"], choice["generator"])
    for count in wanted[:-1]:
        generated = {"gan": int(count)} if int(count) else {}
        config.stages[f"mix_{count}"] = dict(
            data=dict(generated=generated), paper=paper(real, count)
        )
    return config.lock()


def paper(real: str, count: str) -> dict:
    """What Table 5 reports of a mix."""
    accuracy = dict(zip(SYNTHETIC, REPORTED.get(real, ()), strict=False)).get(count, 0.0)
    return dict(system=f"R4 P3 {real} + {count}", accuracy=accuracy, source="R4 Table 5")


def classifier(name: str, data: str, real: str, count: str):
    """R4's classifier of Problem 2 on `count` drawn pictures of each class more."""
    config = base(name, data)
    config.model.update(PLAIN)
    config.data.update(split="official", pixels=(0.0, 1.0))
    config.data.per_class = 0 if real == "all" else int(real)
    config.data.generated = {"gan": int(count)} if int(count) else {}
    config.update(protocol="paper", epochs=20, batch_size=32, early_stopping=0)
    config.plateau.patience = 0
    config.optimizer.weight_decay = 0.0
    config.paper.update(paper(real, count))
    return config


def stages(data: str, generator: str) -> dict[str, dict]:
    """The judge, the auxiliary classifier, and the generator, each trained on its own."""
    none = dict(system="", accuracy=0.0, source="")
    judge = dict(
        model=dict(name="image", image="example", width=128, dropout=0.5),
        data=dict(name=WHOLE.get(data, data), per_class=0, pixels=(0.1307, 0.3081)),
        epochs=4,
        batch_size=64,
        optimizer=dict(name="adadelta", learning_rate=1.0, decay_epochs=1, decay_factor=0.7),
        paper=none | dict(system="judge"),
    )
    auxiliary = dict(
        model=dict(name="image", image="mobilenet", width=512, dropout=0.5),
        data=dict(pixels=(0.5, 0.5)),
        epochs=20,
        paper=none | dict(system="auxiliary MobileNetV2"),
    )
    start = {"judge_encoder": "judge/encoder", "judge_head": "judge/head"}
    gan = dict(
        task="gan",
        model=dict(noise=100),
        data=dict(pixels=(0.5, 0.5)),
        epochs=75,
        batch_size=128,
        monitor="fid",
        chunk=10,
        optimizer=dict(learning_rate=1e-4),
        start=start
        | {
            "auxiliary_encoder": "auxiliary/encoder",
            "auxiliary_head": "auxiliary/head",
        },
        paper=none | dict(system="conditional DCGAN"),
    )
    flow = dict(
        task="flow",
        model=dict(noise=784, width=48),
        epochs=150,
        batch_size=128,
        monitor="fid",
        chunk=10,
        optimizer=dict(learning_rate=1e-3, decay_epochs=120),
        start=start,
        paper=none | dict(system="conditional flow"),
    )
    if generator == "flow":
        return dict(judge=judge, gan=flow)
    return dict(judge=judge, auxiliary=auxiliary, gan=gan)
