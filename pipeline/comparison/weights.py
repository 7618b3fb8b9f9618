"""A run's weights as a model of MLflow: a graph that needs none of this project's code, with its signature."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pipeline import paths, tensors
from pipeline.comparison.tracked import Tracked
from pipeline.evaluation import inference
from pipeline.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Row

NAME = "network"
_TAG = "weights"
# `torch.export` takes an axis of one for a constant.
_EXAMPLES = 2


class Heatmaps(nn.Module):
    """An image in, as the loader normalises it; the last heatmaps out."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images_B3HW: Tensor) -> Tensor:
        heatmaps_BKhw: Tensor = self.network(images_B3HW).heatmaps
        return heatmaps_BKhw


def log(client: "MlflowClient", row: "Row", one: Tracked) -> bool:
    """Log the weights with the shapes of what goes in and comes out; False where they are there, or none are ours."""
    file = paths.run(one.run.dataset, one.run.name) / paths.WEIGHTS
    md5 = one.source.md5(file)
    if one.run.checkpoint is not None or md5 is None or row.data.tags.get(_TAG) == md5:
        return False
    import mlflow
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    record = one.facts.record
    network = Heatmaps(inference.build(record))
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / paths.WEIGHTS
        copy.write_bytes(one.source.read(file))
        network.network.load_state_dict(tensors.read(copy))
    example = np.zeros((_EXAMPLES, 3, *record.used.input.size), np.float32)
    with torch.inference_mode():
        _, *shape = network.eval()(torch.from_numpy(example)).shape
    # Without names: MLflow gives a network the array itself only then.
    signature = ModelSignature(
        Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))]),
        Schema([TensorSpec(example.dtype, (-1, *shape))]),
    )
    mlflow.set_tracking_uri(store.uri())
    # Where a model's files go is its experiment's to say.
    mlflow.set_experiment(experiment_id=row.info.experiment_id)
    Model.log(
        artifact_path=None,
        name=NAME,
        flavor=mlflow.pytorch,
        run_id=row.info.run_id,
        pytorch_model=network,
        signature=signature,
        input_example=example,
        pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
        serialization_format="pt2",
    )
    store.set_tags(client, row.info.run_id, {_TAG: md5})
    return True
