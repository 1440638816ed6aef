from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import PythonBackend
from syne_tune.config_space import choice, lograndint, loguniform, uniform
from syne_tune.optimizer.baselines import BOTorch

space = {
    "width": lograndint(8, 64),
    "act": choice(["relu", "gelu"]),
    "optimizer": choice(["sgd", "adam"]),
    "lr": loguniform(1e-4, 1e-1),
    "momentum": uniform(0.0, 0.95),
    "beta2": uniform(0.9, 0.999),
}


def objective(width, act, optimizer, lr, momentum, beta2):
    from syne_tune import Reporter
    from task import train

    config = {"width": width, "act": act, "optimizer": optimizer, "lr": lr}
    config |= {"momentum": momentum} if optimizer == "sgd" else {"beta2": beta2}
    Reporter()(accuracy=train(config))


tuner = Tuner(
    trial_backend=PythonBackend(objective, config_space=space),
    scheduler=BOTorch(space, metric="accuracy", do_minimize=False),
    stop_criterion=StoppingCriterion(max_num_trials_started=15),
    n_workers=1,
)
tuner.run()
print(tuner.best_config())
