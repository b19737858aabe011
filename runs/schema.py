"""Run configurations at the edge: from a frozen pydantic model to form fields, field errors and OpenAPI.

Forms, API and child process read one schema, so a wrong value gets the same sentence everywhere.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from annotated_types import Ge, Gt, Le, Lt
from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from pydantic import BaseModel
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo

Config = TypeVar("Config", bound=BaseModel)


def config_validated(model: type[Config], values: Mapping[str, Any]) -> Config:
    """`values` as a configuration. Raises Django's ValidationError with field errors, nested ones as `lora.rank`."""
    try:
        return model.model_validate(dict(values))
    except PydanticError as error:
        found: dict[str, list[str]] = {}
        for each in error.errors():
            names = [str(part) for part in each["loc"] if isinstance(part, str)]
            cause = each.get("ctx", {}).get("error")
            if not names and hasattr(cause, "field"):  # of the whole, and it says which setting to change
                names = [cause.field]
            message = str(cause) if each["type"] == "value_error" and cause else f"{each['msg']}."
            places = [part + 1 for part in each["loc"] if isinstance(part, int)]
            if places:  # in a list: which of its entries
                message = f"Entry {'.'.join(map(str, places))}: {message}"
            found.setdefault(".".join(names) or NON_FIELD_ERRORS, []).append(message)
        raise ValidationError(found) from error


def config_fields(model: type[BaseModel], prefix: str = "", group: str = "") -> dict[str, forms.Field]:
    """One form field for every leaf of `model`, by its dotted name, as the schema describes it.

    Leaves of a nested model are labelled with the title of their group: `LoRA rank`.
    """
    fields: dict[str, forms.Field] = {}
    for name, info in model.model_fields.items():
        kind = _plain(info.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields |= config_fields(kind, f"{prefix}{name}.", info.title or name)
        else:
            fields[prefix + name] = field = _field(info, kind)
            if group:
                field.label = f"{group} {str(field.label or name).lower()}"
    return fields


def inline_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of `model` without references, for `extend_schema_field`."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolved(value: Any, inside: tuple[str, ...] = ()) -> Any:
        if isinstance(value, list):
            return [resolved(each, inside) for each in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref", "").rpartition("/")[2]
        # The mapping of a discriminator points at references, which are not there any more.
        rest = {key: resolved(each, inside) for key, each in value.items() if key not in ("$ref", "discriminator")}
        if reference in inside:
            return {"type": "object", "description": f"{reference}, as above", **rest}
        return {**resolved(definitions[reference], (*inside, reference)), **rest} if reference else rest

    return resolved(schema)


class ConfigForm(forms.Form):
    """A form with a field for every setting of `config_model`; `basic` are shown at once, the rest folded away.

    `groups` are headings for what is folded, with the names under them; one ending in a dot stands for all inside it.

    Once valid, `cleaned_data["config"]` is the configuration as plain JSON values. Fields declared on the form itself
    replace those of the schema; names in `left_out` keep the schema's default.
    """

    config_model: ClassVar[type[BaseModel]]
    basic: ClassVar[tuple[str, ...]] = ()
    left_out: ClassVar[tuple[str, ...]] = ()
    groups: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self._config_names = [name for name in config_fields(self.config_model) if name not in self.left_out]
        made = config_fields(self.config_model)
        self.fields.update({name: made[name] for name in self._config_names if name not in self.fields})

    def own_fields(self) -> list[forms.BoundField]:
        """What the form asks beside the configuration."""
        return [self[name] for name in self.fields if name not in self._config_names]

    def basic_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.basic]

    def advanced_groups(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """What is folded away, by heading; and whether there is a mistake in it, so that it must be seen."""
        left = {name: self[name] for name in self._config_names if name not in self.basic}
        found = []
        for heading, names in self.groups.items():
            inside = [name for name in left if name in names or name.partition(".")[0] + "." in names]
            found.append((heading, [left.pop(name) for name in inside]))
        found.append(("More settings" if self.groups else "Advanced settings", list(left.values())))
        return [(heading, fields, any(field.errors for field in fields)) for heading, fields in found if fields]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        values: dict[str, Any] = {}
        for name in self._config_names:
            value = cleaned.get(name)
            if name in self.errors or value is None or value == "":
                continue
            *path, last = name.split(".")
            inner = values
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = value
        try:
            cleaned["config"] = config_validated(self.config_model, values).model_dump(mode="json")
        except ValidationError as error:
            self.add_service_errors(error)
        return cleaned

    def add_service_errors(self, error: ValidationError) -> None:
        """Show what a service refused beside the fields it is about."""
        by_field = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        for name, messages in by_field.items():
            for message in messages:
                self.add_error(name if name in self.fields else None, message)


class WordsField(forms.CharField):
    """A list of words, written with commas between them."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> list[str]:
        words = value if isinstance(value, list | tuple) else str(value or "").split(",")
        return [word.strip() for word in words if word.strip()]

    def validate(self, value: Any) -> None:
        if self.required and not value:
            raise ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: Any) -> None:
        """What a word may be is the schema's to say."""


def _field(info: FieldInfo, kind: Any) -> forms.Field:
    default = info.get_default(call_default_factory=True) if not info.is_required() else None
    if isinstance(default, float) and default.is_integer():
        default = int(default)  # 32 and not 32.0
    common: dict[str, Any] = {
        "label": info.title,
        "help_text": info.description or "",
        "initial": default,
        "required": info.is_required(),
    }
    if kind is bool:
        return forms.BooleanField(**{**common, "required": False})
    if kind is int or kind is float:
        field = forms.IntegerField if kind is int else forms.FloatField
        bounds = dict(_bounds(info, kind))
        attributes = {"step": "any"} if kind is float else {}
        return field(**common, **bounds, widget=forms.NumberInput(attrs=attributes))
    if typing.get_origin(kind) is Literal:
        choices = [(value, str(value)) for value in typing.get_args(kind)]
        return forms.ChoiceField(**common, choices=choices)
    if typing.get_origin(kind) in (list, tuple):
        return WordsField(**common)
    return forms.CharField(**common)


def _bounds(info: FieldInfo, kind: type) -> Iterator[tuple[str, float]]:
    """Bounds that a form can express. Exclusive ones of numbers with fractions are left to the schema."""
    for rule in info.metadata:
        if isinstance(rule, Ge):
            yield "min_value", typing.cast(float, rule.ge)
        elif isinstance(rule, Le):
            yield "max_value", typing.cast(float, rule.le)
        elif isinstance(rule, Gt) and kind is int:
            yield "min_value", typing.cast(int, rule.gt) + 1
        elif isinstance(rule, Lt) and kind is int:
            yield "max_value", typing.cast(int, rule.lt) - 1


def _plain(annotation: Any) -> Any:
    """The type itself where the annotation also allows None."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [each for each in typing.get_args(annotation) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation
