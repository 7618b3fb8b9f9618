"""Files of predictions for MPII's validation people by others, all in 1-based pixels of the images."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.datasets import matlab
from pipeline.datasets.elsewhere import Predictions
from pipeline.people import LabelError

# A person's image, and its place there, both from 1.
INDICES = ("RELEASE_img_index", "RELEASE_person_index")

# Tompson's names of joints by their places among MPII's 16; pelvis and thorax he does not predict.
TOMPSON = {
    "rank": 0, "rkne": 1, "rhip": 2, "lhip": 3, "lkne": 4, "lank": 5, "neck": 8, "head": 9, "rwri": 10,
    "relb": 11, "rsho": 12, "lsho": 13, "lelb": 14, "lwri": 15,
}  # fmt: skip


def read(file: Path) -> Predictions:
    """`preds` (N, 16, 2) of a .mat, as HRNet's code writes it, or of an .h5, as the Hourglass authors'; or Tompson's
    own predictions, which detections.mat holds beside the labels. Raises ValueError for any other file."""
    person_id = None
    if file.suffix.lower() in (".h5", ".hdf5"):
        preds = _of_hdf5(file)
    elif file.suffix.lower() == ".mat":
        variables = matlab.load(file.read_bytes(), file.name, (), "MPII")
        preds = _of_tompson(variables, file) if "keypointsAll" in variables else variables.get("preds")
        person_id = _person_id(variables, file)
    else:
        raise ValueError(f"{file} is no file of predictions for MPII: those end in .mat or .h5")
    if preds is None:
        raise ValueError(f"{file} holds no `preds`; there should be (N, 16, 2) numbers")
    image_xy = np.asarray(preds)
    if image_xy.dtype.kind not in "fiu" or image_xy.ndim != 3:
        raise ValueError(
            f"{file}: `preds` must be numbers (N, 16, 2), and is {image_xy.dtype} {image_xy.shape}"
        )
    return Predictions(image_xy[..., :2].astype(np.float64) - 1, person_id)


def _of_hdf5(file: Path) -> Any:
    # Not at the top: every stage imports this module, and few read such files.
    import h5py

    try:
        with h5py.File(file, "r") as content:
            return np.asarray(content["preds"]) if "preds" in content else None
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise ValueError(f"{file} is no HDF5 file ({error})") from None


def _of_tompson(variables: dict[str, Any], file: Path) -> Array:
    names = [str(np.ravel(name)[0]) for name in np.ravel(variables.get("output_joints", ()))]
    people = np.ravel(variables["keypointsAll"])
    if set(names) != set(TOMPSON) or any(np.shape(person) != (len(names), 2) for person in people):
        raise ValueError(f"{file}: keypointsAll does not hold the joints that output_joints names")
    preds = np.full((len(people), 16, 2), np.nan)
    preds[:, [TOMPSON[name] for name in names]] = np.stack(people.tolist())
    return preds


def _person_id(variables: dict[str, Any], file: Path) -> Array | None:
    """Whom the rows are of, where the file says it as detections.mat does."""
    return person_ids(variables, str(file)) if set(INDICES) <= variables.keys() else None


def person_ids(variables: dict[str, Any], file: str) -> Array:
    """person_id (N,) by INDICES; raises LabelError where these name no people."""
    image, person = (np.ravel(variables[key]) for key in INDICES)
    for column in (image, person):
        if column.dtype.kind not in "uif" or not ((column >= 0) & (column < 1e9) & (column % 1 == 0)).all():
            raise LabelError(f"{file}: {' and '.join(INDICES)} must be whole numbers")
    if len(image) != len(person):
        raise LabelError(f"{file} names {len(image)} images of {len(person)} people; fetch it again")
    return image.astype(np.int64) * 1000 + person.astype(np.int64)
