"""The processes that compute together: which one this is, on what device, by which algorithms."""

import os
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed as dist
from torch import nn

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; on its own where torchrun did not start it."""

    rank: int
    ranks: int
    device: torch.device

    @classmethod
    def join(cls, device: str) -> "Ranks":
        """Take a device (auto, cpu or cuda) and find the others; raises ValueError where there is no GPU to take."""
        rank, ranks = position()
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("compute.device: cuda, but PyTorch finds no GPU here; use auto or cpu")
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        # float32 means float32: PyTorch's own choice for convolutions on a GPU is TF32, a tenth of a percent
        # coarse. Its newer switches, fp32_precision, make some versions' torch.compile fail (its issue 166387).
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        if ranks > 1 and not dist.is_initialized():
            # gloo carries what hosts tell each other, so that no host waits for its GPU.
            dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
        return cls(rank, ranks, torch.device(device))

    @property
    def first(self) -> bool:
        """Whether this is the rank that validates, saves and speaks."""
        return self.rank == 0

    def leave(self) -> None:
        """Part from the other ranks, at the end."""
        if self.ranks > 1:
            dist.destroy_process_group()

    def same(self, value: T) -> T:
        """Rank 0's value, on every rank."""
        values = [value]
        if self.ranks > 1:
            dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers, on every rank."""
        if self.ranks == 1:
            return number
        largest = torch.tensor(number)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return int(largest.item())


def position() -> tuple[int, int]:
    """Which of how many processes that train together this is; torchrun tells them."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def choose_algorithms(deterministic: bool, threads: int) -> None:
    """Have PyTorch compute the same bits each time, or as fast as it can, on so many threads of the CPU."""
    torch.set_num_threads(threads)
    if deterministic:
        # Both are read when a GPU, or the compiler, is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")
    torch.use_deterministic_algorithms(deterministic)
    # Else each new tensor is filled first, to show who reads what nobody wrote.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
    torch.backends.cudnn.benchmark = not deterministic


def place(network: nn.Module, device: torch.device, channels_last: bool = True) -> nn.Module:
    """The network itself, on a device, its weights in the memory layout in which it is fastest."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    # torch's own types leave the argument out.
    return network.to(device, memory_format=layout)  # type: ignore[call-overload, no-any-return]
