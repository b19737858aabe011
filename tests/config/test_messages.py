"""The pages speak every language they offer, in full."""

from django.core.management import call_command


def test_every_text_is_translated_and_the_catalogues_are_compiled():
    call_command("messages", check=True)
