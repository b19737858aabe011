"""What users do with their accounts and leaves a trace."""

from __future__ import annotations

from django.db import transaction
from knox.models import AuthToken

from accounts.audit import audit_record
from accounts.models import User


@transaction.atomic
def token_create(*, user: User) -> str:
    """A new token that acts in the user's name. Only its hash is kept, so this is the one time it is known."""
    made, token = AuthToken.objects.create(user)
    audit_record(actor=user, action="token.created", subject=f"token {made.token_key}…")
    return token


@transaction.atomic
def token_revoke(*, user: User, key: str) -> bool:
    """Make one of the user's own tokens useless; False if there was none with this key."""
    revoked, _ = AuthToken.objects.filter(user=user, token_key=key).delete()
    if revoked:
        audit_record(actor=user, action="token.revoked", subject=f"token {key}…")
    return bool(revoked)
