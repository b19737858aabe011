from django.apps import AppConfig


class CountingConfig(AppConfig):
    """Teaches a real worker the kind of run that tests use."""

    name = "tests.runs"
    label = "counting"

    def ready(self) -> None:
        from runs import kinds
        from tests.runs import counting

        kinds.register(counting.kind())
