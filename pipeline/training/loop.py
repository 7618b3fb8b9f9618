"""Training: the paper's section 3.4 from top to bottom, for HRNet and SG-HRNet alike."""

import contextlib
import csv
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist
from tqdm import tqdm

from pipeline import models
from pipeline.codec import crop, heatmap, segmentation
from pipeline.datasets.people import People
from pipeline.training import loader
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.dwa import DynamicWeightAverage, average_over_ranks
from pipeline.training.losses import heatmap_loss, segmentation_loss

HISTORY = (
    "kind", "epoch", "step", "lr", "loss", "loss_key", "loss_seg", "w_key", "w_seg", "r_key", "r_seg",
    "val_loss_key", "val_loss_seg", "iou_1", "iou_2", "iou_3", "iou_4", "accuracy",
)  # fmt: skip
LOSSES = ("loss", "loss_key", "loss_seg", "w_key", "w_seg", "r_key", "r_seg")


class NotFinite(ValueError):
    """A loss that is no finite number."""


class Interrupted(SystemExit):
    """Asked to stop by a signal, after the checkpoint was written."""


@dataclass(frozen=True)
class Task:
    """All that one training needs.

    run: pipeline.params.Run; params: the parameters; images: an image store; maps: the validation people's
    packed segmentation maps, None for a network without guidance; pretrained: puts weights into the fresh
    network and says in a sentence which; accuracy: image_xy (N, K, 2) and scores (N, K) of the validation
    people -> percent; tracker: pipeline.tracking.Tracker.
    """

    run: object
    params: object
    train: People
    val: People
    images: object
    maps: np.ndarray | None
    pretrained: Callable[[torch.nn.Module], str]
    accuracy: Callable[[np.ndarray, np.ndarray], float]
    tracker: object


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; on its own where torchrun did not start it."""

    rank: int
    ranks: int
    device: torch.device

    @classmethod
    def join(cls, device: str) -> "Ranks":
        rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("compute.device: cuda, but PyTorch finds no GPU here; use auto or cpu")
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        if ranks > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device == "cuda" else "gloo")
        return cls(rank, ranks, torch.device(device))

    def same(self, value):
        """Rank 0's value, on every rank."""
        values = [value]
        if self.ranks > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]


def train(task: Task, checkpoint: Checkpoint, ranks: Ranks) -> dict:
    """Train one run, from its checkpoint if there is one; rank 0 keeps the checkpoint.

    Returns the result: `weights`, the network's state dict on the CPU; `history`, rows with keys of HISTORY;
    `origin`, where its first weights came from. Raises NotFinite with the step, the losses and the images of
    its batch; Interrupted on SIGTERM and SIGINT, with the checkpoint written.
    """
    state = ranks.same(checkpoint.load() if ranks.rank == 0 else None)
    if state and "result" in state:
        return state["result"]
    run, params, options = task.run, task.params, task.params.train
    device, joints = ranks.device, task.train.joints.shape[1]
    guided = run.radius is not None and run.ablation != "bilinear_hrnet"
    weighted = guided and run.ablation not in ("fixed_weights", "no_seg_loss")
    lambda_ = 0.0 if run.ablation == "no_seg_loss" else params.loss.lambda_
    heatmap_size = params.input.heatmap_size
    _choose_arithmetic(options.deterministic, device)

    network = models.build(
        run.model, joints, model=params.model, guidance=params.guidance, ablation=run.ablation, seed=run.seed
    )
    origin = task.pretrained(network)
    network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=options.lr, weight_decay=options.weight_decay, fused=True
    )
    dwa = DynamicWeightAverage(params.dwa.temperature, device)

    crops = loader.Crops(
        task.train, task.images, params.input.size, params.augment, run.seed, params.input.reduced_decoding
    )
    schedule = loader.Schedule(
        len(crops), options.batch_size, options.epochs, run.seed, ranks.rank, ranks.ranks
    )
    step, history, epoch_losses = 0, [], torch.zeros(2, device=device)
    if state:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        dwa.load_state_dict(state["dwa"])
        step, history = state["step"], state["history"]
        epoch_losses.copy_(state["epoch_losses"])
        print(f"going on from step {step} of {schedule.epochs * schedule.steps_per_epoch}", flush=True)
    schedule.start = step
    task.tracker.start(state["tracking"] if state else None)
    forward = _parallel(network, options.compile, ranks)

    rows: list[tuple[dict, Tensor]] = []
    first_bad = torch.full((), -1, dtype=torch.int64, device=device)
    saved_at = time.monotonic()

    def flush() -> None:
        """Bring the logged rows to the host: the only place where it waits for the device."""
        if rows:
            values = torch.stack([row[1] for row in rows]).tolist()
            for (row, _), numbers in zip(rows, values, strict=True):
                row.update((k, v) for k, v in zip(LOSSES, numbers, strict=True) if guided or k in LOSSES[:2])
                history.append(row)
                task.tracker.log(row, pace.rate())
            rows.clear()
        if (bad := int(first_bad)) >= 0:
            _stop_at(bad, schedule, task, history)

    def save() -> None:
        nonlocal saved_at
        flush()
        if ranks.rank == 0:
            checkpoint.save(
                {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "dwa": dwa.state_dict(),
                    "step": step,
                    "history": history,
                    "epoch_losses": epoch_losses,
                    "tracking": task.tracker.run_id,
                }
            )
        saved_at = time.monotonic()

    batches = loader.batches(crops, schedule, params.compute.workers, pin=device.type == "cuda")
    with _Signals() as signals, _Pace(f"{run.dataset}/{run.name}", schedule, options, ranks) as pace:
        network.train()
        for batch in batches:
            epoch, position = divmod(step, schedule.steps_per_epoch)
            lr = options.lr * options.lr_factor ** sum(epoch >= drop for drop in options.lr_drops)
            for group in optimizer.param_groups:
                group["lr"] = lr

            input_BHWC, centres_BK2, labelled_BK = (
                batch[key].to(device, non_blocking=True) for key in ("input", "centres", "labelled")
            )
            target_BKHW, weight_BK = heatmap.encode(
                centres_BK2, labelled_BK, heatmap_size, params.heatmap.sigma
            )
            with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
                output = forward(loader.normalise(input_BHWC))
            loss_key = heatmap_loss(output.heatmaps, target_BKHW, weight_BK, params.loss.reduction)
            if guided:
                map_BHW = segmentation.encode(
                    centres_BK2, labelled_BK, heatmap_size, run.radius, params.segmentation.distance
                )
                loss_seg = segmentation_loss(output.map_logits, map_BHW, params.loss.reduction)
                rates, weights = dwa.rates(), dwa.weights()
                if not weighted:
                    weights = torch.ones_like(weights)
                # Eq. 7.
                loss = weights[1] * lambda_ * loss_seg + weights[0] * loss_key
            else:
                loss = loss_key

            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

            losses = average_over_ranks(torch.stack([loss_key, loss_seg]) if guided else loss_key[None])
            first_bad = torch.where((first_bad < 0) & ~losses.isfinite().all(), step, first_bad)
            if guided and params.dwa.per == "step":
                dwa.update(losses)
            elif guided:
                epoch_losses += losses
                if position + 1 == schedule.steps_per_epoch:
                    dwa.update(epoch_losses / schedule.steps_per_epoch)
                    epoch_losses.zero_()

            step += 1
            if step % options.log_every == 0:
                total = (weights * losses * losses.new_tensor([1.0, lambda_])).sum() if guided else losses[0]
                numbers = [total, *losses, *weights, *rates] if guided else [total, *losses]
                numbers += [total] * (len(LOSSES) - len(numbers))
                rows.append(({"kind": "step", "epoch": epoch, "step": step, "lr": lr}, torch.stack(numbers)))
                flush()
            pace.advance(history)

            if position + 1 == schedule.steps_per_epoch:
                if (epoch + 1) % options.validate_every == 0 or epoch + 1 == options.epochs:
                    flush()
                    row = {"kind": "epoch", "epoch": epoch, "step": step, "lr": lr}
                    if ranks.rank == 0:
                        row |= validate(task, network, device)
                    history.append(row)
                    task.tracker.log(row, pace.rate())
                save()
                pace.epoch_ends(epoch, history)
            elif signals.received or time.monotonic() - saved_at > 60 * options.checkpoint_minutes:
                save()
            if signals.received:
                raise Interrupted(128 + signals.received)
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    return {"weights": weights, "history": history, "origin": origin}


@torch.inference_mode()
def validate(task: Task, network: torch.nn.Module, device: torch.device) -> dict[str, float]:
    """Losses, the maps' IoU and the accuracy on the validation people, with their own boxes, without mirroring.

    A map is 1 where its probability is above a half; its IoU with the truth is taken person by person. The
    losses' targets and the maps are those of the plain crops.
    """
    params, people = task.params, task.val
    size = params.input.heatmap_size
    crops = loader.Crops(people, task.images, params.input.size)
    schedule = loader.in_order(len(people), params.train.batch_size)
    totals = torch.zeros(6, dtype=torch.float64, device=device)
    image_xy, scores = np.zeros_like(people.joints), np.zeros(people.labelled.shape)
    to_image = crop.invert(crop.affine(people.center, people.scale, size))
    was_training = network.training
    network.eval()
    for batch in loader.batches(crops, schedule, params.compute.workers, pin=device.type == "cuda"):
        rows = batch["row"].numpy()
        centres_BK2, labelled_BK = batch["centres"].to(device), batch["labelled"].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=params.train.precision == "bfloat16"):
            output = network(loader.normalise(batch["input"].to(device)))
        target_BKHW, weight_BK = heatmap.encode(centres_BK2, labelled_BK, size, params.heatmap.sigma)
        totals[0] += len(rows) * heatmap_loss(output.heatmaps, target_BKHW, weight_BK, params.loss.reduction)
        if task.maps is not None and output.map_logits is not None:
            truth_BHW = torch.from_numpy(segmentation.unpack(task.maps[rows], size)).to(device)
            loss_seg = segmentation_loss(output.map_logits, truth_BHW, params.loss.reduction)
            totals[1] += len(rows) * loss_seg
            totals[2:] += segmentation.iou(output.map_logits > 0, truth_BHW).sum(0)
        heatmap_xy_BK2, scores_BK = heatmap.decode(output.heatmaps.float())
        image_xy[rows] = crop.transform(heatmap_xy_BK2.double().cpu().numpy(), to_image[rows])
        scores[rows] = scores_BK.cpu().numpy()
    network.train(was_training)
    means = (totals / len(people)).tolist()
    row = {"val_loss_key": means[0], "accuracy": task.accuracy(image_xy, scores)}
    if task.maps is not None:
        row |= {"val_loss_seg": means[1]} | {f"iou_{i + 1}": value for i, value in enumerate(means[2:])}
    return row


def history_csv(history: list[dict]) -> bytes:
    """The rows of the history as a CSV file with the columns HISTORY."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, restval="", lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({k: f"{v:.7g}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue().encode()


def _choose_arithmetic(deterministic: bool, device: torch.device) -> None:
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    if device.type == "cuda" and not deterministic:
        torch.set_float32_matmul_precision("high")


def _parallel(network: torch.nn.Module, compiled: bool, ranks: Ranks) -> Callable:
    forward = network
    if ranks.ranks > 1:
        forward = torch.nn.parallel.DistributedDataParallel(forward)
    if compiled:
        mode = "reduce-overhead" if ranks.device.type == "cuda" else "default"
        forward = torch.compile(forward, mode=mode, dynamic=False)
    return forward


def _stop_at(step: int, schedule: loader.Schedule, task: Task, history: list[dict]) -> None:
    rows = schedule.rows(step)
    names = sorted({str(task.train.images[task.train.image[row]]) for row in rows})
    last = next((row for row in reversed(history) if row["kind"] == "step"), {})
    losses = ", ".join(f"{key} {last[key]:.4g}" for key in LOSSES if key in last)
    raise NotFinite(
        f"{task.run.dataset}/{task.run.name}: the loss of step {step + 1} is no finite number ({losses} at step "
        f"{last.get('step', 'none')}); try a lower train.lr or train.precision: float32. The checkpoint is from "
        f"before. Images of the batch: {', '.join(names)}"
    )


class _Signals(contextlib.AbstractContextManager):
    """Remembers SIGTERM and SIGINT instead of dying of them, so that a step ends and is saved."""

    received = 0

    def __enter__(self):
        self._before = {
            number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def _receive(self, number, _frame) -> None:
        self.received = number

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class _Pace(contextlib.AbstractContextManager):
    """Progress for people: a bar on a terminal, else one line an epoch."""

    def __init__(self, name: str, schedule: loader.Schedule, options, ranks: Ranks):
        self.name, self.options, self.total = name, options, schedule.epochs * schedule.steps_per_epoch
        self.done, self.shown = 0, ranks.rank == 0
        self.bar = tqdm(
            total=self.total * options.batch_size,
            initial=schedule.start * options.batch_size,
            desc=name,
            unit=" images",
            disable=not self.shown or not sys.stderr.isatty(),
        )

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def rate(self) -> float:
        """Images a second since the start, validation included."""
        return self.done * self.options.batch_size / max(time.monotonic() - self.began, 1e-9)

    def advance(self, history: list[dict]) -> None:
        self.done += 1
        self.bar.update(self.options.batch_size)
        if history and history[-1]["kind"] == "step" and not self.bar.disable:
            self.bar.set_postfix(
                {k: f"{history[-1][k]:.3g}" for k in LOSSES[:5] if k in history[-1]}, refresh=False
            )

    def epoch_ends(self, epoch: int, history: list[dict]) -> None:
        if not self.shown or not self.bar.disable:
            return
        row = {k: v for k, v in history[-1].items() if isinstance(v, float)} if history else {}
        numbers = "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        print(
            f"{self.name}  epoch {epoch + 1}/{self.options.epochs}  {self.rate():.0f} images/s  {numbers}",
            flush=True,
        )
