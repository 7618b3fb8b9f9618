"""The variants of the guided network: ablations, each a row. What a variant changes is read from here alone."""

from dataclasses import dataclass
from typing import Literal

Apply = Literal["last_module", "every_module", "stage_input", "stage_output"]
Reduction = Literal["mean", "sum"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a run of the guided network departs from the paper's.

    title: what the tables call it. guided: whether it has the four modules at all; without them only the bilinear
    fusion is left of the guided network. attention: whether their maps multiply anything. supervised: whether
    the segmentation loss trains. weighted: whether the dynamic weight average weighs the losses; else both
    weights are 1. apply: where a map multiplies, in place of guidance.apply; reduction: in place of loss.reduction.
    """

    title: str
    guided: bool = True
    attention: bool = True
    supervised: bool = True
    weighted: bool = True
    apply: Apply | None = None
    reduction: Reduction | None = None


PAPERS = Variant(title="as in the paper")
VARIANTS = {
    "no_seg_loss": Variant(
        title="no segmentation loss (attention learned without supervision)", supervised=False, weighted=False
    ),
    "no_attention": Variant(title="no attention (maps learned, nothing multiplied)", attention=False),
    "fixed_weights": Variant(title="fixed loss weights instead of DWA", weighted=False),
    "bilinear_hrnet": Variant(title="no guidance, bilinear fusion only", guided=False, weighted=False),
    "every_module": Variant(title="map multiplies in every module", apply="every_module"),
    "stage_input": Variant(title="map multiplies the stage's input", apply="stage_input"),
    "stage_output": Variant(title="map from the stage's own output (section 3.2)", apply="stage_output"),
    "summed_losses": Variant(title="losses summed over pixels (Eqs. 5 and 6 to the letter)", reduction="sum"),
}


def variant(ablation: str | None) -> Variant:
    """The row of an ablation; of None the paper's own."""
    return PAPERS if ablation is None else VARIANTS[ablation]
