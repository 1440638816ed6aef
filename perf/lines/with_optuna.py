import optuna
from task import train


def objective(trial):
    config = {
        "width": trial.suggest_int("width", 8, 64, log=True),
        "act": trial.suggest_categorical("act", ["relu", "gelu"]),
        "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam"]),
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
    }
    if config["optimizer"] == "sgd":
        config["momentum"] = trial.suggest_float("momentum", 0.0, 0.95)
    else:
        config["beta2"] = trial.suggest_float("beta2", 0.9, 0.999)
    return train(config)


study = optuna.create_study(
    study_name="lines",
    storage="sqlite:///lines.db",
    load_if_exists=True,
    sampler=optuna.samplers.GPSampler(),
    direction="maximize",
)
study.optimize(objective, n_trials=15)
print(study.best_params)
