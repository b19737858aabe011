from django.contrib.auth import views as auth
from django.urls import path, reverse_lazy

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("", views.account, name="account"),
    path("login/", auth.LoginView.as_view(template_name="accounts/login.html"), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path(
        "password/",
        auth.PasswordChangeView.as_view(
            template_name="accounts/password.html", success_url=reverse_lazy("accounts:account")
        ),
        name="password",
    ),
    path("language/", views.language, name="language"),
    path("tokens/", views.token_create, name="token-create"),
    path("tokens/<str:key>/revoke/", views.token_revoke, name="token-revoke"),
]
