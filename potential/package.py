"""A potential on disk: weights (safetensors), configuration (JSON), model card. Never a pickle.

potential/
  weights.safetensors   parameters, species, scale and shifts
  config.json           architecture and what is needed to rebuild the model
  model_card.json       where it comes from and how good it is, for programs
  MODEL_CARD.md         the same, for people
  frames.csv            which frames it was trained on (`potential.roles`)
  references.bib        what to cite for it, of a campaign's
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from potential.data.atomic_write import write_atomically
from potential.data.sealed import sealed, unsealed
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig

FORMAT = 1
WEIGHTS = "weights.safetensors"
LONG = 200
"""Letters; a longer text has a section of its own in the card."""
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def save_potential(folder: str | Path, model: NequIP, card: Mapping[str, Any]) -> None:
    """Write `model` and its card into `folder`; the configuration, written last, completes it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    content = save(weights)
    (folder / WEIGHTS).write_bytes(content)  # `save_file` lets nobody else read them
    write_atomically(folder / "model_card.json", json.dumps(dict(card), indent=2, ensure_ascii=False) + "\n")
    write_atomically(folder / "MODEL_CARD.md", model_card_markdown(model, card))
    config = {
        "format": FORMAT,
        "model": model.config.model_dump(),
        "numbers": model.numbers.tolist(),
        "avg_num_neighbors": model.avg_num_neighbors,
        "dtype": str(model.dtype).removeprefix("torch."),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(folder / "config.json", sealed(config) + "\n")


def load_potential(folder: str | Path, *, device: str = "cpu") -> NequIP:
    """Read a committee written by `save_potential`.

    Raises:
        FileNotFoundError: if the folder is not a potential.
        ValueError: if it was written by a newer format, a file of it is damaged, or the weights are not those
            of the configuration (older versions did not write down which they are).
    """
    folder = Path(folder)
    missing = [name for name in ("config.json", WEIGHTS) if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(f"{folder} is not a potential: no {' and no '.join(missing)} in it")
    try:
        config = _configuration(folder / "config.json")
        if config["format"] > FORMAT:
            raise ValueError(f"has format {config['format']}, this version reads up to {FORMAT}; update")
        if not 0 < config["avg_num_neighbors"] < math.inf:
            raise ValueError(f"avg_num_neighbors is {config['avg_num_neighbors']}, no number above 0")
        model = NequIP(
            ModelConfig(**config["model"]),
            config["numbers"],
            avg_num_neighbors=config["avg_num_neighbors"],
            dtype=DTYPES[config["dtype"]],
        )
        content = (folder / WEIGHTS).read_bytes()
        if config.get("weights_sha256", found := hashlib.sha256(content).hexdigest()) != found:
            raise ValueError(f"{WEIGHTS} is not the one that was saved with config.json; copy both anew")
        model.load_state_dict(load(content))
        if model.numbers.tolist() != config["numbers"]:
            raise ValueError(
                f"{WEIGHTS} knows the elements {model.numbers.tolist()}, not {config['numbers']}"
            )
        if broken := [name for name, values in model.state_dict().items() if not values.isfinite().all()]:
            raise ValueError(f"{broken[0]} has numbers that are not finite")
    except (SafetensorError, IsADirectoryError, ValueError, KeyError, TypeError, RuntimeError) as error:
        why = f"{folder} is damaged, or no potential of this version: {_reason(error)}"
        raise ValueError(why) from error
    return model.to(device).eval().requires_grad_(False)


def _configuration(file: Path) -> dict[str, Any]:
    try:
        return unsealed(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file.name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:200]
    return (str(error).strip().splitlines() or [""])[-1].strip()[:200]


def load_card(folder: Path) -> dict[str, Any]:
    """The model card of a potential; empty if it has none.

    Raises:
        ValueError: where it cannot be read.
    """
    file = Path(folder) / "model_card.json"
    try:
        return dict(json.loads(file.read_bytes())) if file.exists() else {}
    except (ValueError, TypeError, IsADirectoryError) as error:
        raise ValueError(f"{file} is damaged: {error}; copy the potential anew, or delete it") from error


def model_card_markdown(model: NequIP, card: Mapping[str, Any]) -> str:
    """The card as a page for people."""
    lines = [f"# {card.get('name', 'NequIP committee')}", ""]
    tables = {key: value for key, value in card.items() if isinstance(value, Mapping)}
    texts = {key: value for key, value in card.items() if isinstance(value, str) and len(value) > LONG}
    short = {key: value for key, value in card.items() if key not in {*tables, *texts}}
    lines += [f"- **{_title(key)}**: {_cell(value)}" for key, value in short.items()]
    parameters = sum(p.numel() for p in model.parameters())
    tables["model"] = model.config.model_dump() | {"parameters of all members": parameters}
    for key, value in tables.items():
        lines += ["", f"## {_title(key).capitalize()}", "", "| | |", "|---|---|"]
        lines += [f"| {_title(k)} | {_cell(v)} |" for k, v in value.items()]
    for key, text in texts.items():
        fenced = ["```", text.rstrip(), "```"] if "\n" in text else [text]
        lines += ["", f"## {_title(key)}", "", *fenced]
    lines += ["", "## Use", "", "```python", "from alnico import Potential", ""]
    lines += ['atoms.calc = Potential.load("path/to/this/folder")', "```", ""]
    return "\n".join(lines)


def _title(key: str) -> str:
    return key.replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
