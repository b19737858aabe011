app_name = "rl"
urlpatterns: list = []
