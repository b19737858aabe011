from celery import shared_task

from annotate.ranking.places import leases_expire


@shared_task(name="annotate.tasks.expire_leases")
def expire_leases() -> int:
    return leases_expire()
