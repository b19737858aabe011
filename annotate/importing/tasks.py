from celery import shared_task

from annotate.importing.services import import_sweep


@shared_task(name="annotate.tasks.sweep_imports")
def sweep_imports() -> int:
    return import_sweep()
