"""Each export is loaded with the library it is for, unchanged; docs/formats.md says what came of it.

The tables of that page are written by the last test here: WRITE_DOCS=1 pytest tests/annotate/formats/test_libraries.py
OpenRLHF and LLaMA-Factory are not installed for this (they bring deepspeed, ray and vLLM, or their own pins): their
files are loaded with `datasets`, as both do, and test_writing.py checks their structure as their readers want it. Their
own loaders read them where PEERS_FOLDER names a folder made by

    pip install --no-deps --target FOLDER openrlhf==0.11.2 llamafactory==0.9.5 omegaconf==2.3.0 pylatexenc \\
        antlr4-python3-runtime==4.9.3
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from annotate.formats import limits
from annotate.formats.readers.own import pair_row, ranking_row
from annotate.formats.reading import FORMATS_IN, recognise
from annotate.formats.writers.base import Options, Writer, read_rows
from annotate.formats.writing import FORMATS_OUT, export
from config.env import BASE_DIR
from tests.annotate.formats.conftest import read
from tests.annotate.formats.examples import COMPANIONS, EXAMPLES, jsonl
from tests.tiny import tiny_model

PAGE = BASE_DIR / "docs/formats.md"
ONE = Options(dimension="helpfulness")
QUIET: dict[str, Any] = {"report_to": [], "use_cpu": True, "bf16": False, "per_device_train_batch_size": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def folder(version: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """Every format's files on disk: {format: {name: path}}."""
    found: dict[str, dict[str, Path]] = {}
    for key in FORMATS_OUT:
        directory = tmp_path_factory.mktemp(key)
        for name, chunks in export(key, version, ONE):
            (directory / name).write_bytes(b"".join(chunks))
            found.setdefault(key, {})[name] = directory / name
    return found


# loading ------------------------------------------------------------------------------------------------------------


def hub(path: Path, kind: str = "json") -> Any:
    """A file with `datasets`, cached beside it."""
    from datasets import load_dataset

    return load_dataset(kind, data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))


def with_datasets(path: Path, model: Path) -> int:
    kind = {".csv": "csv", ".parquet": "parquet"}.get(path.suffix, "json")
    return len(hub(path, kind))


def with_pandas(path: Path, model: Path) -> int:
    import pandas

    if path.suffix == ".csv":
        return len(pandas.read_csv(path, keep_default_na=False))
    return len(pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_json(path, lines=True))


def with_pyarrow(path: Path, model: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_table(path).num_rows


def _trainer(name: str) -> Callable[[Path, Path], int]:
    """Rows after the trainer has tokenised them, which its constructor does."""

    def load(path: Path, model: Path) -> int:
        import trl
        from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

        if name == "Reward":
            policy = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
        else:
            policy = AutoModelForCausalLM.from_pretrained(model)
        trainer = getattr(trl, f"{name}Trainer")(
            model=policy,
            args=getattr(trl, f"{name}Config")(output_dir=str(path.parent / "out"), **QUIET),
            train_dataset=hub(path),
            processing_class=AutoTokenizer.from_pretrained(model),
        )
        assert any("input_ids" in column or column.endswith("ids") for column in trainer.train_dataset.column_names)
        return len(trainer.train_dataset)

    return load


DATASETS, PANDAS = {"datasets": with_datasets}, {"pandas": with_pandas}
LOADERS: dict[str, Mapping[str, Callable[[Path, Path], int]]] = {
    "pairs": DATASETS | PANDAS | {"TRL RewardTrainer": _trainer("Reward"), "TRL DPOTrainer": _trainer("DPO")},
    "rankings": DATASETS | PANDAS,
    "trl": DATASETS | {"TRL RewardTrainer": _trainer("Reward"), "TRL DPOTrainer": _trainer("DPO")},
    "trl-margin": DATASETS | {"TRL RewardTrainer": _trainer("Reward")},
    "trl-standard": DATASETS | {"TRL DPOTrainer": _trainer("DPO")},
    "hh": DATASETS | PANDAS,
    "openrlhf": DATASETS,
    "alpaca-ranking": DATASETS | PANDAS,
    "kto": DATASETS | {"TRL KTOTrainer": _trainer("KTO")},
    "sft": DATASETS | {"TRL SFTTrainer": _trainer("SFT")},
    "sft-completion": DATASETS | {"TRL SFTTrainer": _trainer("SFT")},
    "llamafactory": DATASETS,
    "parquet": DATASETS | PANDAS | {"pyarrow": with_pyarrow},
    "csv": DATASETS | PANDAS,
    "csv-excel": DATASETS | PANDAS,
}


def rows_of(path: Path) -> int:
    records, findings = read(path.read_bytes())
    assert not findings.error_count
    return len(records)


@pytest.mark.slow
@pytest.mark.parametrize(("key", "library"), [(key, library) for key in LOADERS for library in LOADERS[key]])
def test_each_library_loads_every_row(key, library, folder, model):
    for name, path in folder[key].items():
        if name != "dataset_info.json":
            assert LOADERS[key][library](path, model) == rows_of(path) > 0


PEERS = """
import importlib.util, json, sys, types
from pathlib import Path
if not importlib.util.find_spec("torchaudio"):  # LLaMA-Factory imports it, for sound that is not in these files
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
from datasets import load_dataset
from transformers import AutoTokenizer, Seq2SeqTrainingArguments
openrlhf, llamafactory, model, scratch = map(Path, sys.argv[1:])
tokenizer, found = AutoTokenizer.from_pretrained(model), {}

from openrlhf.datasets.reward_dataset import RewardDataset
names = types.SimpleNamespace(
    prompt_key=None, chosen_key="chosen", rejected_key="rejected", apply_chat_template=True,
    tokenizer_chat_template=None,
)
strategy = types.SimpleNamespace(args=types.SimpleNamespace(data=names, **vars(names)))
rows = load_dataset("json", data_files=str(openrlhf), split="train", cache_dir=str(scratch))
found[openrlhf.name] = len(RewardDataset(rows, tokenizer, 2048, strategy, is_dpo=False, num_processors=1))

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import DataArguments, ModelArguments
for stage, name in (("rm", "dpo"), ("kto", "kto"), ("sft", "sft")):
    [file] = llamafactory.glob(f"*-{name}.jsonl")
    data = DataArguments(dataset=file.stem, dataset_dir=str(llamafactory), template="chatml", cutoff_len=2048)
    training = Seq2SeqTrainingArguments(output_dir=str(scratch), report_to=[], use_cpu=True)
    template = get_template_and_fix_tokenizer(tokenizer, data)
    model_arguments = ModelArguments(model_name_or_path=str(model))
    made = get_dataset(template, model_arguments, data, training, stage=stage, tokenizer=tokenizer)
    found[file.name] = len(made["train_dataset"])
print("FOUND", json.dumps(found))
"""


@pytest.mark.slow
def test_the_loaders_of_openrlhf_and_llamafactory_read_every_row(folder, model, tmp_path):
    peers = os.environ.get("PEERS_FOLDER")
    if not peers:
        pytest.skip("PEERS_FOLDER names no folder with OpenRLHF and LLaMA-Factory")
    [openrlhf] = folder["openrlhf"].values()
    paths = {"openrlhf": openrlhf, **folder["llamafactory"]}
    run = subprocess.run(
        [sys.executable, "-c", PEERS, openrlhf, paths["dataset_info.json"].parent, model, tmp_path],
        env={**os.environ, "PYTHONPATH": peers, "DISABLE_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = [line for line in run.stdout.splitlines() if line.startswith("FOUND ")]
    assert said, run.stderr[-2000:]
    found = json.loads(said[0].removeprefix("FOUND "))
    written = [path for path in paths.values() if path.suffix == ".jsonl"]
    assert found == {path.name: path.read_bytes().count(b"\n") for path in written}


def test_pandas_and_datasets_read_the_same_texts_from_csv(folder, version):
    import pandas

    expected = [row["chosen"][0]["content"] for row in read_rows(version / "pairs.jsonl", ONE)]
    for key in ("csv", "csv-excel"):
        [path] = folder[key].values()
        frame = pandas.read_csv(path, keep_default_na=False)
        assert frame.columns[0] == "comparison", "a byte order mark is no part of a name"
        for texts in (list(frame["chosen"]), hub(path, "csv")["chosen"]):
            assert [text.removeprefix("'") if text.startswith("'-") else text for text in texts] == [
                text if not text.startswith("'=") else "'" + text for text in expected
            ]


# docs/formats.md ----------------------------------------------------------------------------------------------------


def _comes_back(writer: Writer, paths: Mapping[str, Path], version: Path) -> str:
    """What reading an export again gives, measured."""
    path = next(iter(paths.values()))
    records, findings = read(path.read_bytes(), writer.reads_back)
    assert not findings.error_count, findings.errors
    source = writer.files[0].source
    if not writer.lossless:
        return f"as `{writer.reads_back}`, {len(records)} of {_expected(writer, version)}"
    row_of = {"pairs": pair_row, "rankings": ranking_row}[source]
    same = [row_of(record) for record in records] == list(read_rows(version / f"{source}.jsonl", ONE))
    assert same, writer.key
    return "the same, to the last field"


def _expected(writer: Writer, version: Path) -> int:
    left_out: Counter[str] = Counter()
    [first, *_] = export(writer.key, version, ONE, left_out)
    return b"".join(first[1]).count(b"\n")


def written(folder: Mapping[str, Mapping[str, Path]], version: Path) -> str:
    rows = [
        "| format | `key` | files | for | loaded in the tests with | read again | lost |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, writer in FORMATS_OUT.items():
        files = ", ".join(f"`{file.suffix.lstrip('-')}`" for file in writer.files)
        back = _comes_back(writer, folder[key], version)
        loaded = ", ".join(LOADERS[key])
        rows.append(
            f"| {writer.label} | `{key}` | {files} | {writer.library} | {loaded} | {back} | {writer.loses or '–'} |"
        )
    return "\n".join(rows)


def readable() -> str:
    rows = ["| format | `key` | gives | usual dimension | told by |", "|---|---|---|---|---|"]
    for key, form in FORMATS_IN.items():
        companion = jsonl(COMPANIONS[key]) if key in COMPANIONS else b""
        records, findings = read(jsonl(EXAMPLES[key]), key, **({"companion": companion} if companion else {}))
        assert records and not findings.error_count
        first = recognise(EXAMPLES[key])[0]
        assert first.format == key
        kinds = ", ".join(sorted({record.kind for record in records}))
        judged = any(record.judgements for record in records)
        more = f"; second file: {form.companion.label}" if form.companion else ""
        rows.append(f"| {form.label} | `{key}` | {kinds} | {form.dimension if judged else '–'} | {first.why}{more} |")
    return "\n".join(rows)


def bounds() -> str:
    rows = [
        ("one line, JSON value, CSV record or row", limits.size(limits.MAX_LINE)),
        ("columns of a table, keys of an object", f"{limits.MAX_COLUMNS}"),
        ("lists and objects inside each other", f"{limits.MAX_DEPTH}"),
        (
            f"growth of a compressed file, Parquet or xlsx, from {limits.size(limits.RATIO_FROM)} on",
            f"{limits.MAX_RATIO} times",
        ),
        ("what a Zstandard file may look back", limits.size(limits.MAX_WINDOW)),
        ("memory of the process that decodes Parquet and xlsx", limits.size(limits.CHILD_MEMORY)),
        ("a temporary file (Parquet, xlsx, very large JSON objects)", limits.size(limits.MAX_SPOOL)),
        ("responses to one prompt in one record", f"{limits.MAX_RESPONSES}"),
        ("rows that make one record, such as votes on a pair", f"{limits.MAX_GROUP:,}"),
        ("the second file, of texts", limits.size(limits.MAX_COMPANION)),
    ]
    return "\n".join(["| what | at most |", "|---|---|", *(f"| {what} | {most} |" for what, most in rows)])


def test_the_page_says_what_the_code_does(folder, version):
    page = PAGE.read_text(encoding="utf-8")
    for name, table in {"written": written(folder, version), "read": readable(), "limits": bounds()}.items():
        block = re.compile(rf"(<!-- {name}: made by a test -->\n).*?(\n<!-- end -->)", re.DOTALL)
        assert block.search(page), name
        page = block.sub(lambda found, table=table: found[1] + table + found[2], page)  # type: ignore[misc]
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page, "run WRITE_DOCS=1 pytest tests/annotate/formats/test_libraries.py"
