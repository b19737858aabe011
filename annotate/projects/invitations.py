"""Invitation links: a random token that opens one account, once, until it expires. Only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

import structlog
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.audit import audit_record
from accounts.models import User
from annotate.projects.models import Invitation, Membership, Project
from annotate.projects.services import membership_add

log = structlog.get_logger(__name__)

LONGEST_DAYS = 90


def invitation_create(
    *,
    user: User,
    role: str = Invitation.Role.ANNOTATOR,
    projects: Iterable[Project] = (),
    days: int = 7,
    note: str = "",
) -> tuple[Invitation, str]:
    """An invitation and its token, which is known only now."""
    if not 1 <= days <= LONGEST_DAYS:
        raise ValidationError({"days": f"A link may be valid for 1 to {LONGEST_DAYS} days."})
    token = secrets.token_urlsafe(32)
    invitation = Invitation(
        token_hash=_hash(token),
        role=role,
        note=note.strip(),
        expires_at=timezone.now() + timedelta(days=days),
        created_by=user,
    )
    invitation.full_clean()
    with transaction.atomic():
        invitation.save()
        invitation.projects.set(projects)
        audit_record(actor=user, action="invitation.created", subject=invitation, role=role, days=days)
    log.info("invitation.created", invitation=invitation.pk, role=role, by=user.pk)
    return invitation, token


def invitation_find(token: str) -> Invitation | None:
    """The invitation of a link, if the link still opens something."""
    return Invitation.objects.filter(
        token_hash=_hash(token), accepted_at=None, revoked_at=None, expires_at__gt=timezone.now()
    ).first()


def invitation_accept(*, token: str, username: str, password: str, email: str = "") -> User:
    """Make the account that the link promises. Raises ValidationError with field errors; the link stays good then."""
    with transaction.atomic():
        # Locked, so that a link opened twice at once makes one account.
        found = Invitation.objects.select_for_update().filter(token_hash=_hash(token)).first()
        if found is None or found.accepted_at or found.revoked_at or found.expires_at <= timezone.now():
            raise ValidationError("This link is not valid any more. Ask an admin for a new one.", code="link")
        is_admin = found.role == Invitation.Role.ADMIN
        user = User(username=username.strip(), email=email.strip(), is_staff=is_admin, is_superuser=is_admin)
        user.set_password(password)
        errors: dict[str, list[str]] = {}
        try:
            user.full_clean(exclude=["password"])
        except ValidationError as error:
            errors.update(error.message_dict)
        try:
            validate_password(password, user)
        except ValidationError as error:
            errors["password"] = error.messages
        if errors:
            raise ValidationError(errors)
        user.save()
        audit_record(actor=user, action="invitation.accepted", subject=found, role=found.role)
        place = Membership.Role.REVIEWER if found.role == Invitation.Role.REVIEWER else Membership.Role.ANNOTATOR
        for project in found.projects.all():
            membership_add(project=project, user=user, by=found.created_by, role=place)
        found.accepted_by, found.accepted_at = user, timezone.now()
        found.save(update_fields=["accepted_by", "accepted_at"])
    log.info("invitation.accepted", invitation=found.pk, user_id=user.pk)
    return user


@transaction.atomic
def invitation_revoke(*, invitation: Invitation, by: User | None = None) -> None:
    """Make a link useless. Accepted ones stay as they are."""
    opens = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
    if opens.update(revoked_at=timezone.now()):
        audit_record(actor=by, action="invitation.revoked", subject=invitation)


def _hash(token: str) -> str:
    # The token has 256 random bits, so a plain hash cannot be guessed backwards and no salt is needed.
    return hashlib.sha256(token.encode()).hexdigest()
