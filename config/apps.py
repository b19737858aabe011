from django.apps import AppConfig


class ConfigApp(AppConfig):
    name = "config"

    def ready(self) -> None:
        # `shared_task` binds to the current Celery app: importing it here makes every Django process use ours.
        import config.celery  # noqa: F401
