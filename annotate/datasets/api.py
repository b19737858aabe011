from rest_framework.routers import BaseRouter


def register_api(router: BaseRouter) -> None:
    pass
