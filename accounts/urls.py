from django.contrib.auth import views as auth
from django.urls import path, reverse_lazy

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("account/", views.account, name="account"),
    path("account/login/", auth.LoginView.as_view(template_name="accounts/login.html"), name="login"),
    path("account/logout/", auth.LogoutView.as_view(), name="logout"),
    path(
        "account/password/",
        auth.PasswordChangeView.as_view(
            template_name="accounts/password.html", success_url=reverse_lazy("accounts:account")
        ),
        name="password",
    ),
    path("account/language/", views.language, name="language"),
    path("account/tokens/", views.token_create, name="token-create"),
    path("account/tokens/<str:key>/revoke/", views.token_revoke, name="token-revoke"),
    path("audit/", views.audit, name="audit"),
]
