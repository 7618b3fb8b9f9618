"""What a stage of dvc.yaml works on, by the name that DVC gives it.

Commands go through a shell, and values of params.yaml are somebody's text: so no command carries one. DVC tells each
stage its name (`DVC_STAGE`, such as train_sweep@mpii-sg_hrnet_small-5-0), and the stage looks up here what it stands
for among those that the checked parameters name.
"""

from collections.abc import Iterator

from pipeline.params import Params
from pipeline.runs import Run, named_by


def arguments(params: Params) -> dict[str, tuple[str, ...]]:
    """The arguments of every stage of a matrix, by its name."""
    return dict(_stages(params))


def _stages(params: Params) -> Iterator[tuple[str, tuple[str, ...]]]:
    for dataset in params.datasets:
        yield f"download@{dataset}", (dataset,)
        yield f"prepare@{dataset}", (dataset,)
        for radius in params.radii_on(dataset):
            kind = "sweep" if dataset in params.radius_sweep else "radius"
            yield f"targets_{kind}@{dataset}-{radius}", (dataset, str(radius))
    for dataset in params.labels_only:
        yield f"download_labels@{dataset}", (dataset,)
        yield f"prepare_labels@{dataset}", (dataset,)
    for run in named_by(params):
        if run.checkpoint is None:
            for stage in ("train", "evaluate"):
                yield f"{stage}_{_item(run, params)}", (run.dataset, run.name)
    for number, given in enumerate(params.checkpoints):
        options = {"weights": given.file, "model": given.model, "dataset": given.dataset, "name": given.name}
        yield f"evaluate_checkpoint@checkpoint{number}", tuple(f"--{key}={options[key]}" for key in options)
    for number, file in enumerate(params.predictions):
        options = {
            "predictions": file.file,
            "dataset": file.dataset,
            "box": file.box,
            "model": file.model,
            "name": file.name,
        }
        yield f"evaluate_predictions@predictions{number}", tuple(f"--{key}={options[key]}" for key in options)


def _item(run: Run, params: Params) -> str:
    """The kind of a run, and its place in that kind's matrix."""
    more = "_more" if run.seed in params.more_seeds else ""
    if run.radius is None:
        return f"baseline{more}@{run.dataset}-{run.configuration}-{run.seed}"
    if run.ablation:
        kind = "ablation_once" if run.ablation in params.ablations_once else "ablation"
    else:
        kind = "guided_more" if more else "sweep" if run.dataset in params.radius_sweep else "radius"
    return f"{kind}@{run.dataset}-{run.ablation or run.model}-{run.radius}-{run.seed}"
