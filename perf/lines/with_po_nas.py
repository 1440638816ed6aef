from task import train

import po_nas

space = po_nas.declare(
    "mlp",
    width=po_nas.Int(8, 64, log=True),
    act=po_nas.Categorical(["relu", "gelu"]),
    optimizer=po_nas.Categorical(["sgd", "adam"]),
    lr=po_nas.Float(1e-4, 1e-1, log=True),
    momentum=po_nas.Float(0.0, 0.95, when={"optimizer": "sgd"}),
    beta2=po_nas.Float(0.9, 0.999, when={"optimizer": "adam"}),
)
result = po_nas.search(space=space, objective=train, method="gp_bo", budget=15, out="runs/lines")
print(result.incumbent)
