"""Run configurations as forms and OpenAPI, from one schema."""

from typing import ClassVar

import pytest
from django import forms
from django.core.exceptions import ValidationError
from pydantic import Field

from lm.config import Frozen
from runs.schema import ConfigForm, config_fields, config_validated, inline_schema


class Inner(Frozen):
    rank: int = Field(16, ge=1, le=512, title="Rank", description="Inner dimension.")


class Settings(Frozen):
    words: tuple[str, ...] = Field((), title="Words", description="Some words.", max_length=2)
    kind: str = Field("a", title="Kind", description="A text.")
    rate: float = Field(0.1, gt=0, le=1, title="Rate", description="A share.")
    on: bool = Field(True, title="On", description="A switch.")
    limit: int | None = Field(None, gt=0, title="Limit", description="A limit, or none.")
    inner: Inner = Field(default_factory=Inner, title="Inner", description="More.")


class SettingsForm(ConfigForm):
    title = forms.CharField()
    config_model = Settings
    basic = ("rate",)


def filled(**changes):
    start = {name: field.initial for name, field in config_fields(Settings).items() if field.initial is not None}
    return {"title": "T", **start, "words": "", **changes}


def test_every_leaf_of_the_schema_becomes_a_field_with_its_words_and_bounds():
    fields = config_fields(Settings)
    assert list(fields) == ["words", "kind", "rate", "on", "limit", "inner.rank"]
    rank = fields["inner.rank"]
    assert (rank.label, rank.help_text, rank.initial) == ("Inner rank", "Inner dimension.", 16)
    assert (rank.min_value, rank.max_value) == (1, 512)
    assert fields["limit"].min_value == 1


def test_a_valid_form_gives_the_configuration_as_plain_json():
    form = SettingsForm(filled(words="x, y", on="", **{"inner.rank": "8"}))
    assert form.is_valid(), form.errors
    assert form.cleaned_data["config"] == {
        "words": ["x", "y"],
        "kind": "a",
        "rate": 0.1,
        "on": False,
        "limit": None,
        "inner": {"rank": 8},
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rate": "0"}, "rate"),
        ({"inner.rank": "513"}, "inner.rank"),
        ({"words": "a,b,c"}, "words"),
        ({"title": ""}, "title"),
    ],
)
def test_a_wrong_value_is_shown_at_its_field(change, field):
    form = SettingsForm(filled(**change))
    assert not form.is_valid()
    assert list(form.errors) == [field]


def test_an_emptied_field_means_its_default():
    form = SettingsForm(filled(rate="", **{"inner.rank": ""}))
    assert form.is_valid()
    assert form.cleaned_data["config"]["rate"] == 0.1
    assert form.cleaned_data["config"]["inner"] == {"rank": 16}


def test_fields_come_in_three_groups():
    form = SettingsForm()
    assert [field.name for field in form.own_fields()] == ["title"]
    assert [field.name for field in form.basic_fields()] == ["rate"]
    [(heading, fields, mistaken)] = form.advanced_groups()
    assert (heading, mistaken) == ("Advanced settings", False)
    assert [field.name for field in fields] == ["words", "kind", "on", "limit", "inner.rank"]


def test_what_is_folded_away_can_stand_under_headings_and_opens_where_a_mistake_is():
    class Grouped(SettingsForm):
        groups: ClassVar = {"Inside": ("inner.",), "Words": ("words", "rate"), "Empty": ("nothing",)}

    form = Grouped(filled(**{"inner.rank": "513"}))
    found = [(heading, [field.name for field in fields], open) for heading, fields, open in form.advanced_groups()]
    assert found == [
        ("Inside", ["inner.rank"], True),
        ("Words", ["words"], False),
        ("More settings", ["kind", "on", "limit"], False),
    ]


def test_configurations_are_refused_by_field_and_unknown_keys_are_named():
    with pytest.raises(ValidationError) as caught:
        config_validated(Settings, {"inner": {"rank": 0}, "rte": 1})
    assert set(caught.value.message_dict) == {"inner.rank", "rte"}


def test_the_openapi_schema_has_no_references_left():
    schema = inline_schema(Settings)
    assert "$" not in str(schema)
    assert schema["properties"]["inner"]["properties"]["rank"]["maximum"] == 512
