"""What happens to a batch: the paper's sections 3.3 and 3.4 from top to bottom, for every network alike."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pipeline import loader
from pipeline.codec import crop, heatmap, parts, segmentation
from pipeline.codec.parts import Target
from pipeline.datasets import DATASETS
from pipeline.models import Output
from pipeline.networks import NETWORKS
from pipeline.params import Train
from pipeline.ranks import Ranks, place
from pipeline.runs import Run, Settings
from pipeline.training.dwa import TASKS, DynamicWeightAverage, average_over_ranks
from pipeline.training.losses import keypoint_loss, segmentation_loss
from pipeline.variants import Reduction

Compiled = Literal["eager", "compiled", "compiled with CUDA graphs"]


@dataclass(frozen=True)
class Execution:
    """How steps are carried out; training takes `Execution.of`, and benchmarks whatever they compare.

    bfloat16: autocast. fused: Adam as one kernel. compiled: by torch.compile, and how.
    """

    bfloat16: bool
    compiled: Compiled
    deterministic: bool
    channels_last: bool = True
    fused: bool = True

    @classmethod
    def of(cls, train: Train, ranks: Ranks) -> "Execution":
        # CUDA graphs on a single GPU only: PyTorch's issues 113809 and 140395 tell of them under
        # DistributedDataParallel, and are open.
        graphs = ranks.device.type == "cuda" and ranks.ranks == 1
        compiled: Compiled = "compiled with CUDA graphs" if graphs else "compiled"
        return cls(train.precision == "bfloat16", compiled if train.compile else "eager", train.deterministic)


class Prepared(NamedTuple):
    """A batch as the losses need it, on the device: the map is None of a network without guidance; body_parts: what a
    network that predicts bones and limbs learns them from."""

    input_BCHW: Tensor
    target_BKhw: Tensor
    weight_BK: Tensor
    map_Bhw: Tensor | None
    body_parts: tuple[Target, ...] = ()


class Losses(NamedTuple):
    """A step's numbers on the device: losses (1,) or (2,), the mean of all ranks; of a guided network also the
    weights (2,) of Eqs. 8 and 9 and the rates (2,) of Eq. 10, with which it was made."""

    losses: Tensor
    weights: Tensor | None
    rates: Tensor | None


class Step:
    """One step of training, with all of its state: network, optimiser, dynamic weights.

    No call waits for the device or reads from it, but for `total`, which is for logged steps.
    """

    def __init__(
        self,
        network: nn.Module,
        run: Run,
        settings: Settings,
        ranks: Ranks,
        steps_per_epoch: int,
        execution: Execution | None = None,
    ):
        if settings.training is None:
            raise ValueError(f"{run.dataset}/{run.name} has no parameters to train with")
        self.training, self.guided, self.run = settings.training, settings.guided, run
        self.ranks, self.device, self.steps_per_epoch = ranks.ranks, ranks.device, steps_per_epoch
        self.execution = execution or Execution.of(self.training.train, ranks)
        self.heatmap_size = crop.heatmap_size(settings.input.size)
        self.layout = torch.channels_last if self.execution.channels_last else torch.contiguous_format
        self.network = place(network, self.device, self.execution.channels_last)
        self.forward = _parallel(self.network, self.execution, ranks)
        self.optimizer = torch.optim.Adam(
            network.parameters(),
            lr=self.training.train.lr,
            weight_decay=self.training.train.weight_decay,
            fused=self.execution.fused,
        )
        self.dwa = DynamicWeightAverage(self.guided.dwa.temperature if self.guided else 1.0, self.device)
        self.epoch_losses = torch.zeros(TASKS, device=self.device)
        # Number and losses of the first step whose losses are not finite; number -1 while there is none.
        self.not_finite = torch.full((1 + (2 if run.guided else 1),), -1.0, device=self.device)

    def __call__(self, batch: Mapping[str, Tensor], number: int, lr: float) -> Losses:
        """Train on a batch, the step of this number from 0."""
        return self.update(self.prepare(batch), number, lr)

    def prepare(self, batch: Mapping[str, Tensor]) -> Prepared:
        """Bring a batch to the device and make its targets there (Eqs. 2 and 3)."""
        input_BHWC, centres_BK2, labelled_BK = (
            batch[key].to(self.device, non_blocking=True) for key in ("input", "centres", "labelled")
        )
        size = self.heatmap_size
        target_BKhw, weight_BK, drawn = self.targets(centres_BK2, labelled_BK)
        map_Bhw = None
        if self.guided and self.run.guided:
            distance = self.guided.segmentation.distance
            map_Bhw = segmentation.encode(centres_BK2, labelled_BK, size, self._radius, distance)
        input_BCHW = loader.normalise(input_BHWC).contiguous(memory_format=self.layout)
        return Prepared(input_BCHW, target_BKhw, weight_BK, map_Bhw, drawn)

    def targets(self, centres_BK2: Tensor, labelled_BK: Tensor) -> tuple[Tensor, Tensor, tuple[Target, ...]]:
        """Heatmaps of the joints (Eq. 3) and their weights; of a network that predicts them also the parts'."""
        size, sigma = self.heatmap_size, self.training.heatmap.sigma
        target_BKhw, weight_BK = heatmap.encode(centres_BK2, labelled_BK, size, sigma)
        if not NETWORKS[self.run.model].body_parts:
            return target_BKhw, weight_BK, ()
        keypoints = DATASETS[self.run.dataset].KEYPOINTS
        return target_BKhw, weight_BK, parts.encode(centres_BK2, labelled_BK, size, sigma, keypoints)

    def update(self, batch: Prepared, number: int, lr: float) -> Losses:
        """Forward (Eq. 4), losses (Eqs. 5 to 7), backward, Adam, weights of the next step (Eqs. 8 to 10)."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.execution.bfloat16):
            output = self.forward(batch.input_BCHW)
        hard_joints = NETWORKS[self.run.model].hard_joints
        loss_key = keypoint_loss(
            output, batch.target_BKhw, batch.weight_BK, self.reduction, hard_joints, batch.body_parts
        )
        weights = rates = None
        if batch.map_Bhw is None or output.map_logits is None:
            loss, losses = loss_key, loss_key[None]
        else:
            loss_seg = segmentation_loss(output.map_logits, batch.map_Bhw, self.reduction)
            rates, weights = self.dwa.rates(), self.dwa.weights()
            if not self.run.variant.weighted:
                weights = torch.ones_like(weights)
            # Eq. 7.
            loss = weights[1] * self.weight * loss_seg + weights[0] * loss_key
            losses = torch.stack([loss_key, loss_seg])

        loss.backward()
        self.optimizer.step()
        # Before the next forward pass, since a CUDA graph reuses the gradients' memory.
        self.optimizer.zero_grad(set_to_none=True)

        losses = average_over_ranks(losses, self.ranks)
        self._look_after(losses, number)
        return Losses(losses, weights, rates)

    @property
    def weight(self) -> float:
        """Lambda of Eq. 7; 0 where the segmentation loss does not train."""
        return self.guided.weight if self.guided and self.run.variant.supervised else 0.0

    @property
    def reduction(self) -> Reduction:
        """How Eqs. 5 and 6 add up over pixels."""
        return self.run.variant.reduction or self.training.reduction

    @property
    def _radius(self) -> float:
        assert self.run.radius is not None, "a guided run has a radius"
        return self.run.radius

    def total(self, made: Losses) -> Tensor:
        """The loss of Eq. 7 again, from a step's numbers."""
        if made.weights is None:
            return made.losses[0]
        return (made.weights * made.losses * made.losses.new_tensor([1.0, self.weight])).sum()

    def _look_after(self, losses: Tensor, number: int) -> None:
        current = torch.cat([losses.new_full((1,), number), losses])
        first = (self.not_finite[0] < 0) & ~losses.isfinite().all()
        self.not_finite = torch.where(first, current, self.not_finite)
        if self.guided is None or not self.run.guided:
            return
        if self.guided.dwa.per == "step":
            self.dwa.update(losses)
            return
        self.epoch_losses += losses
        if (number + 1) % self.steps_per_epoch == 0:
            self.dwa.update(self.epoch_losses / self.steps_per_epoch)
            self.epoch_losses.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """All that going on needs, by name; Adam's settings are the parameters', and its learning rate each step's."""
        state = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            state |= {
                f"adam/{key}/{name}": value for key, value in self.optimizer.state.get(parameter, {}).items()
            }
        state |= {f"dwa/{name}": value for name, value in self.dwa.state_dict().items()}
        return state | {"epoch_losses": self.epoch_losses}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state_dict, whichever device it is on."""
        self.network.load_state_dict(_below("network/", state))
        self.dwa.load_state_dict(_below("dwa/", state))
        self.epoch_losses.copy_(state["epoch_losses"])
        adam: dict[int, dict[str, Tensor]] = {}
        moments = {key: _below(f"adam/{key}/", state) for key in ("exp_avg", "exp_avg_sq")}
        for number, (name, parameter) in enumerate(self.network.named_parameters()):
            # A parameter that no loss reached has no state.
            if (steps := state.get(f"adam/step/{name}")) is not None:
                # In the parameter's own memory layout: fused Adam walks through all of them side by side.
                laid_out = {
                    key: torch.empty_like(parameter).copy_(each[name]) for key, each in moments.items()
                }
                adam[number] = {"step": steps, **laid_out}
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": adam})


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _parallel(network: nn.Module, execution: Execution, ranks: Ranks) -> Callable[[Tensor], Output]:
    """The network's forward pass, on all ranks, compiled.

    Batch norm normalises by each rank's part of the batch. Running statistics are those of rank 0, which
    validates and saves: what HRNet's code does on several GPUs, and no rank need send its own to another.
    """
    forward = network
    if ranks.ranks > 1:
        with warnings.catch_warnings():
            # PyTorch 2.13 has another name for broadcast_buffers, which 2.11 does not know.
            warnings.simplefilter("ignore", FutureWarning)
            forward = nn.parallel.DistributedDataParallel(
                forward,
                broadcast_buffers=False,
                # Else it rearranges its buckets after the first step, a resumed training's too, and three ranks or
                # more add up a gradient in another order.
                find_unused_parameters=execution.deterministic,
            )
    if execution.compiled == "eager":
        return forward
    mode = "reduce-overhead" if execution.compiled == "compiled with CUDA graphs" else "default"
    return torch.compile(forward, mode=mode, dynamic=False)
