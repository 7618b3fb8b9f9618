"""Training: the paper's section 3.4 from top to bottom, for HRNet and SG-HRNet alike."""

import contextlib
import csv
import io
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist
from tqdm import tqdm

from pipeline import loader, models
from pipeline.codec import crop, heatmap, segmentation
from pipeline.people import People
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
        # float32 means float32: PyTorch's own choice for convolutions on a GPU is TF32, a tenth of a percent
        # coarse. Its newer switches, fp32_precision, make some versions' torch.compile fail (its issue 166387).
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        if ranks > 1 and not dist.is_initialized():
            # gloo carries what hosts tell each other, so that no host waits for its GPU.
            dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
        return cls(rank, ranks, torch.device(device))

    def leave(self) -> None:
        """Part from the other ranks, at the end."""
        if self.ranks > 1:
            dist.destroy_process_group()

    def same(self, value):
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
        return largest.item()


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
    _choose_algorithms(options.deterministic)

    network = models.build(
        run.model, joints, model=params.model, guidance=params.guidance, ablation=run.ablation, seed=run.seed
    )
    # With several ranks, DistributedDataParallel hands rank 0's weights to the others.
    origin = ranks.same(task.pretrained(network) if ranks.rank == 0 else None)
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
    forward = _parallel(network, options, ranks)
    pin = device.type == "cuda"
    batches = loader.batches(crops, schedule, params.compute.workers, pin)
    val_crops = loader.Crops(task.val, task.images, params.input.size)
    val_schedule = loader.in_order(len(task.val), options.batch_size)
    val_batches = loader.batches(val_crops, val_schedule, params.compute.workers, pin)

    rows: list[tuple[dict, Tensor]] = []
    # Step and losses of the first step whose losses are not finite; step -1 while there is none.
    bad = torch.full((3 if guided else 2,), -1.0, device=device)
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
        bad_step, *bad_losses = bad.tolist()
        if bad_step >= 0:
            raise _not_finite(int(bad_step), dict(zip(LOSSES[1:], bad_losses, strict=False)), schedule, task)

    def save() -> None:
        nonlocal saved_at
        flush()
        if ranks.rank == 0:
            # A finite loss may still have a gradient that is not.
            if not torch.stack([value.isfinite().all() for value in network.state_dict().values()]).all():
                raise _not_finite(step - 1, {}, schedule, task)
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

    def end_epoch(epoch: int) -> None:
        """Validate on rank 0, unless a signal comes: then the resumed training does it first."""
        if (epoch + 1) % options.validate_every and epoch + 1 < options.epochs:
            return
        flush()
        measured = validate(task, network, device, val_batches, signals) if ranks.rank == 0 else {}
        if measured is not None:
            history.append({"kind": "epoch", "epoch": epoch, "step": step, "lr": lr_of(epoch)} | measured)
            task.tracker.log(history[-1], pace.rate())

    def leave_if_asked() -> None:
        if number := ranks.largest(signals.received):
            signals.safe.set()
            save()
            raise Interrupted(128 + number)

    def lr_of(epoch: int) -> float:
        return options.lr * options.lr_factor ** sum(epoch >= drop for drop in options.lr_drops)

    with _Signals() as signals, _Pace(f"{run.dataset}/{run.name}", schedule, options, ranks) as pace:
        network.train()
        validated = history and (history[-1]["kind"], history[-1]["step"]) == ("epoch", step)
        if step and step % schedule.steps_per_epoch == 0 and not validated:
            end_epoch(step // schedule.steps_per_epoch - 1)
            leave_if_asked()
        for batch in batches:
            epoch, position = divmod(step, schedule.steps_per_epoch)
            _check(batch, step, schedule)
            lr = lr_of(epoch)
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

            loss.backward()
            optimizer.step()
            # Before the next forward pass, since a CUDA graph reuses the gradients' memory.
            optimizer.zero_grad(set_to_none=True)

            losses = average_over_ranks(torch.stack([loss_key, loss_seg]) if guided else loss_key[None])
            found = torch.cat([losses.new_full((1,), step), losses])
            bad = torch.where((bad[0] < 0) & ~losses.isfinite().all(), found, bad)
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

            epoch_ends = position + 1 == schedule.steps_per_epoch
            if epoch_ends:
                end_epoch(epoch)
            leave_if_asked()
            if epoch_ends or time.monotonic() - saved_at > 60 * options.checkpoint_minutes:
                save()
            if epoch_ends:
                pace.epoch_ends(epoch, history)
    if step != schedule.epochs * schedule.steps_per_epoch:
        raise ValueError(f"{run.dataset}/{run.name}: the batches ended after step {step}")
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    return {"weights": weights, "history": history, "origin": origin}


@torch.inference_mode()
def validate(task: Task, network: torch.nn.Module, device: torch.device, batches, signals) -> dict | None:
    """Losses, the maps' IoU and the accuracy on the validation people, with their own boxes, without mirroring.

    A map is 1 where its probability is above a half; its IoU with the truth is taken person by person. The
    losses' targets and the maps are those of the plain crops. Returns None when a signal came in between.
    """
    params, people = task.params, task.val
    size = params.input.heatmap_size
    totals = torch.zeros(6, dtype=torch.float64, device=device)
    image_xy, scores = np.zeros_like(people.joints), np.zeros(people.labelled.shape)
    to_image = crop.invert(crop.affine(people.center, people.scale, size))
    network.eval()
    for batch in batches:
        if signals.received:
            return None
        rows = batch["row"].numpy()
        centres_BK2, labelled_BK = batch["centres"].to(device), batch["labelled"].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=params.train.precision == "bfloat16"):
            output = network(loader.normalise(batch["input"].to(device)))
        target_BKHW, weight_BK = heatmap.encode(centres_BK2, labelled_BK, size, params.heatmap.sigma)
        totals[0] += len(rows) * heatmap_loss(output.heatmaps, target_BKHW, weight_BK, params.loss.reduction)
        predicts_maps = output.map_logits is not None
        if predicts_maps:
            truth_BHW = torch.from_numpy(segmentation.unpack(task.maps[rows], size)).to(device)
            loss_seg = segmentation_loss(output.map_logits, truth_BHW, params.loss.reduction)
            totals[1] += len(rows) * loss_seg
            totals[2:] += segmentation.iou(output.map_logits > 0, truth_BHW).sum(0)
        heatmap_xy_BK2, scores_BK = heatmap.decode(output.heatmaps.float())
        image_xy[rows] = crop.transform(heatmap_xy_BK2.double().cpu().numpy(), to_image[rows])
        scores[rows] = scores_BK.cpu().numpy()
    network.train()
    means = (totals / len(people)).tolist()
    row = {"val_loss_key": means[0], "accuracy": task.accuracy(image_xy, scores)}
    if predicts_maps:
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


def _choose_algorithms(deterministic: bool) -> None:
    if deterministic:
        # Both are read when a GPU, or the compiler, is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")
    torch.use_deterministic_algorithms(deterministic)
    # Else each new tensor is filled first, to show who reads what nobody wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic


def _parallel(network: torch.nn.Module, options, ranks: Ranks) -> Callable:
    """The network's forward pass, on all ranks, compiled.

    Batch norm normalises by each rank's part of the batch. Running statistics are those of rank 0, which
    validates and saves: what HRNet's code does on several GPUs, and no rank need send its own to another.
    """
    forward = network
    if ranks.ranks > 1:
        with warnings.catch_warnings():
            # PyTorch 2.13 has another name for broadcast_buffers, which 2.11 does not know.
            warnings.simplefilter("ignore", FutureWarning)
            forward = torch.nn.parallel.DistributedDataParallel(
                forward,
                broadcast_buffers=False,
                # Else it rearranges its buckets after the first step, a resumed training's too, and three ranks or
                # more add up a gradient in another order.
                find_unused_parameters=options.deterministic,
            )
    if options.compile:
        # CUDA graphs on a single GPU only: PyTorch's issues 113809 and 140395 tell of them under
        # DistributedDataParallel, and are open.
        graphs = ranks.device.type == "cuda" and ranks.ranks == 1
        forward = torch.compile(forward, mode="reduce-overhead" if graphs else "default", dynamic=False)
    return forward


def _check(batch: dict[str, Tensor], step: int, schedule: loader.Schedule) -> None:
    """Raise ValueError for a batch of another size, or without a joint; it is still on the host."""
    count, expected = len(batch["input"]), schedule.batch_size // schedule.ranks
    if count != expected or not batch["labelled"].numpy().any():
        raise ValueError(
            f"the batch of step {step + 1} holds {count} people, {int(batch['labelled'].numpy().sum())} labelled "
            f"joints; it must be {expected} people with joints: run the stage `prepare` again"
        )


def _not_finite(step: int, losses: dict[str, float], schedule: loader.Schedule, task: Task) -> NotFinite:
    names = sorted({str(task.train.images[task.train.image[row]]) for row in schedule.rows(step)})
    what = ", ".join(f"{key} {value:.4g}" for key, value in losses.items()) or "and weights no longer are"
    return NotFinite(
        f"{task.run.dataset}/{task.run.name}: the loss of step {step + 1} is no finite number ({what}); try a "
        f"lower train.lr or train.precision: float32. The checkpoint is from before. Images of the batch: "
        f"{', '.join(names)}"
    )


class _Signals(contextlib.AbstractContextManager):
    """Remembers SIGTERM and SIGINT instead of dying of them, so that a step ends and is saved.

    A step that takes too long is not waited for: a large network on a CPU, or PyTorch compiling. The process
    then ends as if killed, and the checkpoint before stays.
    """

    GRACE = 4.0
    received = 0

    def __enter__(self):
        self.safe = threading.Event()
        # Python answers a signal between two of its own instructions, and a backward pass is one. The pipe is
        # written at once.
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)
        }
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        return self

    def _receive(self, number, _frame) -> None:
        self.received = number

    def _watch(self) -> None:
        while byte := os.read(self._read, 1):
            if byte[0] in (signal.SIGTERM, signal.SIGINT) and not self.safe.wait(self.GRACE):
                os.write(2, b"The step takes too long to wait for; the checkpoint before stays\n")
                os._exit(128 + byte[0])
        os.close(self._read)

    def __exit__(self, *_) -> None:
        self.safe.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._write)


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
