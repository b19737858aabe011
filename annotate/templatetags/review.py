"""What a reviewer's pages know everywhere."""

from __future__ import annotations

from typing import Any

from django import template

from annotate.review.selectors import ReviewCount, review_counts

register = template.Library()


@register.simple_tag(takes_context=True)
def reviews(context: dict[str, Any]) -> list[ReviewCount]:
    """The projects that the reader reviews, those where something waits first; looked up once a page.

    Not on the ranking page, which has to be quick.
    """
    request = context.get("request")
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or request.path.startswith("/annotate/assignments/"):
        return []
    if not hasattr(request, "_reviews"):
        request._reviews = sorted(review_counts(user), key=lambda count: not count.waiting)
    return request._reviews
