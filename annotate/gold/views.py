"""Comparisons with a known answer, for admins."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.permissions import admin_required
from annotate.gold.forms import GoldForm
from annotate.gold.listing import comparison_shown, gold_of, is_suspicious, retired_count, suggestion
from annotate.gold.models import Gold
from annotate.gold.services import gold_copy, gold_remove, gold_set
from annotate.projects.models import Project
from annotate.projects.selectors_people import qualification_rates
from annotate.ranking.models import Comparison
from annotate.ranking.sanitise import render_markdown, render_plain

PAGE = 50
Purpose = Comparison.Purpose


@admin_required
def gold_list(request: HttpRequest, slug: str) -> HttpResponse:
    """A project's gold, the hardest first, and how qualification goes."""
    project = get_object_or_404(Project, slug=slug)
    every = gold_of(project)
    page = Paginator(every, PAGE).get_page(request.GET.get("page"))
    kinds = list(
        Comparison.objects.filter(project=project, gold__isnull=False).order_by().values_list("purpose", flat=True)
    )
    context = {
        "project": project,
        "page": page,
        "query": "",
        "rows": [(gold, is_suspicious(gold)) for gold in page],
        "suspicious": sum(is_suspicious(gold) for gold in every) if page.paginator.count <= 2000 else None,
        "hidden": kinds.count(Purpose.GOLD),
        "qualifying": kinds.count(Purpose.QUALIFICATION),
        "retired": retired_count(project),
        "rates": qualification_rates(project),
    }
    return render(request, "annotate/gold/list.html", context)


@admin_required
def gold_new(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Give a comparison a known answer; one that has judgements is copied, so that they go on counting."""
    comparison = _comparison(slug, pk)
    existing = Gold.objects.filter(comparison=comparison).first()
    if existing is not None:
        return redirect("annotate:gold-edit", slug, existing.pk)
    return _gold_form(request, comparison, None)


@admin_required
def gold_edit(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    gold = get_object_or_404(gold_of(get_object_or_404(Project, slug=slug)), pk=pk)
    return _gold_form(request, _comparison(slug, gold.comparison_id), gold)


def _comparison(slug: str, pk: int) -> Comparison:
    return get_object_or_404(Comparison.objects.select_related("project", "prompt"), pk=pk, project__slug=slug)


def _gold_form(request: HttpRequest, comparison: Comparison, gold: Gold | None) -> HttpResponse:
    project = comparison.project
    rankings, explanation, source = suggestion(comparison)
    shown = comparison_shown(comparison)
    purpose = comparison.purpose if gold else Purpose.QUALIFICATION if project.must_qualify else Purpose.GOLD
    dimensions = list(project.dimensions.all())
    form = GoldForm(
        request.POST or None,
        dimensions=dimensions,
        responses=[row["response"].pk for row in shown],
        rankings=rankings,
        initial={"purpose": purpose, "explanation": explanation},
    )
    copies = comparison.purpose == Purpose.WORK and comparison.judgements.exists()
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        given = {
            "comparison": comparison,
            "rankings": form.rankings(),
            "purpose": form.cleaned_data["purpose"],
            "explanation": form.cleaned_data["explanation"],
            "user": request.user,
        }
        try:
            kept = gold_copy(**given) if copies else gold_set(**given)
        except ValidationError as error:
            by_field = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
            for name, sentences in by_field.items():
                for sentence in sentences:
                    form.add_error(name if name in form.fields else None, sentence)
        else:
            copied = " It is a copy; the judgements there are go on counting." if copies else ""
            messages.success(request, f"Comparison {kept.comparison_id} has a known answer now.{copied}")
            return redirect("annotate:gold-list", project.slug)
    context = {
        "project": project,
        "comparison": comparison,
        "gold": gold,
        "is_suspicious": gold is not None and is_suspicious(gold),
        "form": form,
        "source": source,
        "copies": copies,
        "dimensions": dimensions,
        "turns": [(turn["role"], render_plain(turn["content"])) for turn in comparison.prompt.messages],
        "rows": [
            (row["number"], row["response"], render_markdown(row["response"].text), form.cells(row["response"].pk))
            for row in shown
        ],
    }
    return render(request, "annotate/gold/edit.html", context, status=422 if form.errors else 200)


@admin_required
@require_POST
def gold_delete(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Hand a gold comparison out no more."""
    gold = get_object_or_404(Gold.objects.select_related("comparison"), pk=pk, comparison__project__slug=slug)
    assert isinstance(request.user, User)
    number = gold.comparison_id
    try:
        gold_remove(comparison=gold.comparison, user=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"Comparison {number} is not gold any more.")
    return redirect("annotate:gold-list", slug)
