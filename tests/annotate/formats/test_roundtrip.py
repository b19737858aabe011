"""What is exported comes back: the identity for every lossless format. And no file, however broken, is a traceback."""

from __future__ import annotations

import copy
import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotate.formats.formulas import cell_text, safe_cell
from annotate.formats.packing import packed
from annotate.formats.readers.own import pair_row, ranking_row
from annotate.formats.reading import FORMATS_IN
from annotate.formats.writers.base import Options
from annotate.formats.writing import FORMATS_OUT
from tests.annotate.formats.conftest import read
from tests.annotate.formats.examples import COMPANIONS, EXAMPLES, jsonl

LOSSLESS = [key for key, writer in FORMATS_OUT.items() if writer.lossless]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
texts |= st.sampled_from(
    ["=1+1", "'=x", "''-", "\r", "\n", '"', ",;\t|", "天空\u2028\x85", "\ufeff", "[]", "{}", "null"]
)
said = texts.filter(str.strip)
ids = st.text("abc019-_机", min_size=1, max_size=8)
numbers = st.floats(0, 9, allow_nan=False) | st.integers(0, 9)
extras = st.dictionaries(
    ids.map("x{}".format), st.none() | st.booleans() | numbers | texts | st.lists(texts, max_size=2), max_size=2
)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, str]]:
    turns = [{"role": "system", "content": draw(said)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 2))):
        turns += [{"role": "user", "content": draw(said)}, {"role": "assistant", "content": draw(said)}]
    return [*turns, {"role": "user", "content": draw(said)}]


pair_rows = st.builds(
    lambda prompt, chosen, rejected, extra, fields: {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        **fields,
        **extra,
    },
    conversations(),
    texts,
    texts,
    extras,
    st.fixed_dictionaries(
        {
            "dimension": said,
            "margin": numbers,
            "weight": numbers,
            "preference": st.floats(0, 1),
            "split": st.sampled_from(["train", "test"]),
            "comparison": ids,
            "chosen_response": ids,
            "rejected_response": ids,
        }
    ),
)


@st.composite
def ranking_rows(draw: st.DrawFn) -> dict:
    n = draw(st.integers(1, 4))
    ranks = st.lists(st.none() | st.integers(1, 4), min_size=n, max_size=n)
    strengths = st.none() | st.lists(st.none() | numbers, min_size=n, max_size=n)
    one = st.fixed_dictionaries({"ranks": ranks, "weight": numbers, "annotator": texts, "strengths": strengths})
    response = st.builds(
        lambda fields, edit: fields | ({"is_edit": True} if edit else {}),
        st.fixed_dictionaries({"id": ids, "text": texts, "generator": ids}),
        st.booleans(),
    )
    return {
        "comparison": draw(ids),
        "dimension": draw(said),
        "split": draw(st.sampled_from(["train", "test"])),
        "prompt": draw(conversations()),
        "responses": draw(st.lists(response, min_size=n, max_size=n)),
        "rankings": draw(st.lists(one, min_size=1, max_size=3)),
        "tags": draw(st.lists(ids, max_size=2, unique=True)),
        **draw(extras),
    }


@pytest.mark.parametrize("key", LOSSLESS)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_export_then_import_is_the_identity(key, data):
    writer = FORMATS_OUT[key]
    of_pairs = writer.files[0].source == "pairs"
    rows = data.draw(st.lists(pair_rows if of_pairs else ranking_rows(), min_size=1, max_size=4))
    content = b"".join(writer.files[0].write(iter(rows), Options(), Counter()))
    records, findings = read(content, writer.reads_back)
    assert (findings.error_count, findings.skipped_count) == (0, 0), [str(problem) for problem in findings.errors]
    back = [pair_row(record) if of_pairs else ranking_row(record) for record in records]
    assert back == rows


def test_a_lossless_format_survives_packing(version):
    rows = [json.loads(line) for line in (version / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    for key in ("pairs", "csv", "parquet"):
        for packing in ("gzip", "zstd"):
            content = packed(FORMATS_OUT[key].files[0].write(iter(rows), Options(), Counter()), packing)
            records, _ = read(b"".join(content))  # recognised, not told
            assert [pair_row(record) for record in records] == rows


@given(texts)
def test_a_cell_made_safe_is_undone_exactly(text):
    assert cell_text(safe_cell(text)) == text
    assert safe_cell(text)[:1] not in ("=", "+", "-", "@", "\t", "\r")


# no tracebacks ------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts | st.sampled_from(["role", "content", "id"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def _places(value: object, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def _put(value: object, path: tuple, new: object) -> object:
    if not path:
        return new
    target = value
    for key in path[:-1]:
        target = target[key]  # type: ignore[index]
    target[path[-1]] = new  # type: ignore[index]
    return value


@pytest.mark.parametrize("format", FORMATS_IN)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_row_with_a_wrong_value_anywhere_is_a_finding_or_a_record(format, data):
    rows = copy.deepcopy(EXAMPLES[format])
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(_places(rows)[1:]))
        try:
            _put(rows, path, data.draw(values))
        except (KeyError, IndexError, TypeError):  # the place is gone with the first change
            continue
    companion = COMPANIONS.get(format)
    records, _ = read(jsonl(rows), format, **({"companion": jsonl(companion)} if companion else {}))
    for record in records:
        assert record.prompt
        assert all(isinstance(response.text, str) for response in record.responses)
        assert all(len(ranking.ranks) == len(record.responses) for ranking in record.rankings)
        assert all(0 <= pair.chosen != pair.rejected < len(record.responses) for pair in record.pairs)
    read(jsonl(rows))  # and with recognition


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=200)
    | st.text('[]{}":,\\ ntfu01.eE-\r\n', max_size=60).map(str.encode)
    | st.lists(texts, max_size=8).map(lambda cells: b"prompt,tags\n" + ",".join(cells).encode())
)
def test_any_bytes_give_findings_or_records(content):
    records, findings = read(content)
    assert records or findings.error_count or findings.skipped_count
