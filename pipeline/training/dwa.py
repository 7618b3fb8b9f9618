"""Dynamic weight average: the weights of the two losses in Eq. 7 (Eqs. 8-10; Liu et al. 2019)."""

import torch
from torch import Tensor
from torch import distributed as dist

TASKS = 2
"""N of Eqs. 8 and 9: key points, then segmentation."""


class DynamicWeightAverage:
    """Weighs each loss by how slowly it falls: w_n = N exp(r_n / T) / sum exp(r / T).

    Its rate is r_n = L_n(t-1) / L_n(t-2). Call `weights` for step t, then `update` with the losses of step t.
    Steps 1 and 2 have no rates yet, and both weights are 1. A rate that is no finite number counts as 1, the
    rate of a loss that stands still: a loss of exactly zero, against which nothing can be measured, neither
    breaks the weights nor favours a task. Temperature T = 1 is the paper's.

    All of it is a few tensors of two numbers on `device`; no call waits for the device or reads from it.
    """

    def __init__(self, temperature: float = 1.0, device: torch.device | str = "cpu"):
        if not temperature > 0:
            raise ValueError(f"dwa.temperature: {temperature} must be above 0")
        self.temperature = temperature
        # Rows L(t-2), L(t-1). Not-a-number until they are known, so that the first two steps need no branch.
        self._losses_22 = torch.full((2, TASKS), torch.nan, device=device)

    @torch.no_grad()
    def update(self, losses: Tensor) -> None:
        """Remember a step's losses (2,): key points, segmentation; unweighted, the mean of all ranks."""
        if losses.shape != (TASKS,):
            raise ValueError(f"losses are {tuple(losses.shape)}, and must be (2,): key points, segmentation")
        # In place, so that a captured CUDA graph finds them where they were.
        self._losses_22[0].copy_(self._losses_22[1])
        self._losses_22[1].copy_(losses)

    @torch.no_grad()
    def rates(self) -> Tensor:
        """Rates r (2,) of Eq. 10: key points, segmentation."""
        before, last = self._losses_22
        rates = last / before
        return torch.where(rates.isfinite(), rates, torch.ones_like(rates))

    @torch.no_grad()
    def weights(self) -> Tensor:
        """Weights (2,) of Eqs. 8 and 9 for the next step: w_k, w_s; they add up to 2."""
        return TASKS * torch.softmax(self.rates() / self.temperature, dim=0)

    def state_dict(self) -> dict[str, Tensor]:
        """All that resuming needs."""
        return {"losses": self._losses_22.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a state_dict, whichever device it is on."""
        self._losses_22.copy_(state["losses"])


def average_over_ranks(losses: Tensor, ranks: int) -> Tensor:
    """The losses, detached and averaged over so many ranks; as they are where there is one.

    Every rank then computes the same weights. With NCCL the host does not wait.
    """
    losses = losses.detach().clone()
    if ranks > 1:
        dist.all_reduce(losses)
        losses /= ranks
    return losses
