"""torch.compile trains the same network."""

import pytest
import torch

from pipeline.ranks import Ranks
from pipeline.training import loop
from pipeline.training.checkpoint import Checkpoint


@pytest.mark.slow
def test_compiled_training_has_the_losses_of_eager_training(make_task, tmp_path):
    graphs = torch._dynamo.utils.counters["stats"]
    graphs_before, losses = graphs["unique_graphs"], []
    for compiled in (False, True):
        task = make_task(train={"compile": compiled, "log_every": 1, "epochs": 2})
        with Checkpoint(tmp_path, str(compiled)) as checkpoint:
            result = loop.train(task, checkpoint, Ranks(0, 1, torch.device("cpu")))
        losses.append([row["loss"] for row in result.history if row["kind"] == "step"])
        # Saved under the network's own names, whatever wraps it.
        assert "guidance.0.score.weight" in result.weights
    assert losses[1] == pytest.approx(losses[0], abs=1e-4, rel=1e-3)
    assert graphs["unique_graphs"] == graphs_before + 1
