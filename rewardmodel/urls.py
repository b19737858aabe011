app_name = "rewardmodel"
urlpatterns: list = []
