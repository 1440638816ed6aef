import neps
from task import train


class Space(neps.PipelineSpace):
    width = neps.Integer(8, 64, log=True)
    act = neps.Categorical(("relu", "gelu"))
    optimizer = neps.Categorical(("sgd", "adam"))
    lr = neps.Float(1e-4, 1e-1, log=True)
    momentum = neps.Float(0.0, 0.95)
    beta2 = neps.Float(0.9, 0.999)


def evaluate_pipeline(**config):
    config.pop("beta2" if config["optimizer"] == "sgd" else "momentum")
    return -train(config)


if __name__ == "__main__":
    neps.run(
        evaluate_pipeline,
        Space(),
        root_directory="runs/lines_neps",
        optimizer="bayesian_optimization",
        evaluations_to_spend=15,
    )
    neps.status("runs/lines_neps", print_summary=True)
