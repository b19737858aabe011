from django.apps import AppConfig


class RlConfig(AppConfig):
    name = "rl"
