"""The words annotators choose from. Keys are stored; labels are only shown, in the reader's language."""

from django.utils.translation import gettext_lazy as _

PROMPT_FLAGS = {
    "unclear": _("The prompt is unclear"),
    "personal_data": _("The prompt contains personal data"),
    "needs_expertise": _("Needs knowledge I do not have"),
}
RESPONSE_FLAGS = {
    "refuses": _("Refuses to answer"),
    "wrong_language": _("Wrong language"),
    "cut_off": _("Cut off"),
    "personal_data": _("Personal data"),
    "unsafe": _("Unsafe"),
    "broken": _("Garbled or broken"),
}
SKIP_REASONS = {
    "unclear": _("I do not understand the prompt"),
    "expertise": _("I lack the knowledge to judge"),
    "language": _("I do not read this language well enough"),
    "upsetting": _("I would rather not read this"),
    "broken": _("Something on the page is broken"),
    "other": _("Another reason"),
}
STRENGTHS = {0: _("not said"), 1: _("slightly better"), 2: _("better"), 3: _("much better")}
