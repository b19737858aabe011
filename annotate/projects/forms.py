"""What admins fill in about projects, people and files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from annotate.projects.invitations import LONGEST_DAYS
from annotate.projects.models import Invitation, Membership, Project


def add_service_errors(form: forms.BaseForm, error: ValidationError) -> None:
    """Show what a service refused beside the fields it is about."""
    by_field = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
    for name, messages in by_field.items():
        for message in messages:
            form.add_error(name if name in form.fields else None, message)


class InvitationForm(forms.Form):
    role = forms.ChoiceField(choices=Invitation.Role.choices, initial=Invitation.Role.ANNOTATOR)
    projects = forms.ModelMultipleChoiceField(
        Project.objects.all(), required=False, widget=forms.CheckboxSelectMultiple, help_text="Where they may work."
    )
    days = forms.IntegerField(min_value=1, max_value=LONGEST_DAYS, initial=7, label="Valid for (days)")
    note = forms.CharField(max_length=200, required=False, help_text="Who it is for, as a reminder to yourself.")


class MembershipForm(forms.ModelForm):
    """One person in one project."""

    class Meta:
        model = Membership
        fields = ["role", "total_limit", "is_active"]
        labels = {"total_limit": "Limit", "is_active": "At work"}
        help_texts = {
            "total_limit": "Most comparisons in all for this person, instead of the project's. Empty: the project's.",
            "is_active": "Without it nothing is handed out; what was submitted stays.",
        }

    QUALIFICATION = (("", "as the scores decide"), ("1", "passed"), ("0", "not passed"))
    qualification = forms.ChoiceField(choices=QUALIFICATION, required=False, widget=forms.RadioSelect)


class AcceptForm(forms.Form):
    username = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"autocomplete": "username"}))
    email = forms.EmailField(required=False, widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    password = forms.CharField(strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))
    again = forms.CharField(
        strip=False, label="Password again", widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("password") and cleaned.get("again") and cleaned["password"] != cleaned["again"]:
            self.add_error("again", "The two passwords differ.")
        return cleaned
