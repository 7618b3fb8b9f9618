"""python -m stages.complexity: parameters and multiplications of every network of the tables, without training."""

from pipeline import files, params, paths
from pipeline.datasets import DATASETS
from pipeline.models import complexity as counting
from pipeline.models import skeleton
from pipeline.networks import NETWORKS
from pipeline.report import paper
from stages import main

# Of the rows of the paper's tables (height, width).
SIZES = ((256, 192), (256, 256))


def complexity() -> None:
    p, rows = params.load(), []
    names = [name for name in NETWORKS if not name.endswith("_small")]
    for dataset in paper.datasets():
        for name in names:
            network = skeleton(name, DATASETS[dataset].KEYPOINTS, model=p.model, guidance=p.guidance)
            for size in SIZES:
                cost = counting.count(network, size)
                rows.append(
                    {
                        "network": name,
                        "dataset": dataset,
                        "size": list(size),
                        "params": cost.params,
                        "gflops": cost.gflops,
                        "gmacs": cost.gmacs,
                    }
                )
    out = paths.complexity()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    files.write_json(out, rows)
    print(f"complexity: {len(names)} networks counted, {out}", flush=True)


if __name__ == "__main__":
    main(complexity)
