"""Pages about generators and their responses, for admins."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from accounts.models import User
from accounts.permissions import admin_required
from annotate.generation.forms import GenerationRunForm, GeneratorForm
from annotate.generation.selectors import generation_runs, generators, responses_page
from annotate.generation.services import generation_run_start, generator_create
from annotate.projects.models import Project
from annotate.review.staleness import stale_generators


@admin_required
def generator_list(request: HttpRequest) -> HttpResponse:
    """Everything that can write responses."""
    return render(
        request, "annotate/generation/generators.html", {"generators": generators(), "stale": stale_generators()}
    )


@admin_required
def generator_new(request: HttpRequest) -> HttpResponse:
    """Register a model or an endpoint."""
    form = GeneratorForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        try:
            generator_create(**form.cleaned_data, user=request.user)
        except ValidationError as error:
            for field, texts in error.message_dict.items():
                form.add_error(field if field in form.fields else None, texts)
        else:
            return redirect("annotate:generator-list")
    status = 422 if form.errors else 200
    return render(request, "annotate/generation/generator_new.html", {"form": form}, status=status)


@admin_required
def generator_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One generator: what it is, where it comes from, what it did."""
    generator = get_object_or_404(generators(), pk=pk)
    context = {
        "generator": generator,
        "runs": generation_runs().filter(generator=generator)[:20],
        "stale_reason": stale_generators().get(generator.pk, ""),
    }
    return render(request, "annotate/generation/generator.html", context)


@admin_required
def generation_start(request: HttpRequest, slug: str) -> HttpResponse:
    """The form that makes a generator write. `?generator=` fills it in."""
    project = get_object_or_404(Project, slug=slug)
    initial = {"k": project.k, **({"generator": request.GET["generator"]} if "generator" in request.GET else {})}
    form = GenerationRunForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        given = form.cleaned_data
        tags = [tag.strip() for tag in given["tags"].split(",") if tag.strip()]
        try:
            run = generation_run_start(
                project=project,
                generator=given["generator"],
                config=given["config"],
                comparisons=given["comparisons"],
                mix_with=given["mix_with"],
                round=given["round"],
                selection={"tags": tags, "unanswered": given["unanswered"]},
                user=request.user,
            )
        except ValidationError as error:
            form.add_service_errors(error)
        else:
            return redirect(run)
    context = {"project": project, "form": form, "has_generators": generators().exists()}
    return render(request, "annotate/generation/start.html", context, status=422 if form.errors else 200)


@admin_required
def response_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Prompts with what was written to them."""
    project = get_object_or_404(Project, slug=slug)
    run, after = _number(request, "run"), _number(request, "after")
    page = responses_page(project, run=run, after=after or 0)
    context = {"project": project, "page": page, "run": run}
    return render(request, "annotate/generation/responses.html", context)


def _number(request: HttpRequest, name: str) -> int | None:
    value = request.GET.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 19 else None
