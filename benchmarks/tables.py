"""Where benchmarks leave their figures: a JSON file and a short table for each device, beside each other."""

import json
import os
import platform
import re
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "results"


def machine(device: torch.device) -> str:
    """A device's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    processor = (
        re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        if os.path.exists("/proc/cpuinfo")
        else None
    )
    return f"{processor[1] if processor else platform.machine()}, {torch.get_num_threads()} threads"


def table(rows: list[dict], columns: dict[str, str], header: bool = True) -> str:
    """Rows under the columns' names; a column's format says how wide it is."""
    lines = []
    if header:
        widths = [int(re.search(r"\d+", form)[0]) for form in columns.values()]
        lines.append(
            " ".join(f"{name[:width]:>{width}}" for name, width in zip(columns, widths, strict=True))
        )
    lines += [" ".join(form.format(row[name]) for name, form in columns.items()) for row in rows]
    return "\n".join(lines) + "\n"


def write(folder: Path, what: str, device: torch.device, facts: dict, rows: list[dict], columns: dict) -> str:
    """Write folder/<what>-<device>.json and .txt; returns what is to be said of them."""
    folder.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    report = {
        "machine": machine(device),
        "torch": torch.__version__,
        "load_per_core": round(load, 2),
        **facts,
    }
    path = folder / f"{what}-{re.sub(r'[^a-z0-9]+', '-', report['machine'].lower()).strip('-')}"
    path.with_suffix(".json").write_text(json.dumps(report | {"rows": rows}, indent=2) + "\n")
    head = "\n".join(f"{key}: {value}" for key, value in report.items())
    path.with_suffix(".txt").write_text(f"{head}\n\n{table(rows, columns)}")
    return f"{head}\nwritten to {path}.json and .txt"
