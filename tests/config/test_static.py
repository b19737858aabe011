"""Hashed names of static files."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from config.static import HashedStaticFiles

IMPORT = re.compile(r"""^(?:import|export)\b[^;]*?from\s*["'](\.[^"']+)["']""", re.MULTILINE)


def test_modules_import_each_other_by_hashed_names_so_versions_never_mix(tmp_path):
    source = FileSystemStorage(location=str(settings.BASE_DIR / "static"))
    names = [str(path.relative_to(source.location)) for path in Path(source.location).rglob("*.js")]
    hashed = HashedStaticFiles(location=str(tmp_path), base_url="/static/")
    for name in names:
        with source.open(name) as file:
            hashed.save(name, file)
    for _, _, processed in hashed.post_process({name: (source, name) for name in names}):
        assert not isinstance(processed, Exception), processed
    imports = 0
    for name in names:
        module = tmp_path / hashed.stored_name(name)
        for address in IMPORT.findall(module.read_text()):
            imports += 1
            assert re.search(r"\.[0-9a-f]{12}\.js$", address), f"{name} imports {address}"
            assert (module.parent / address).is_file()
    assert imports > 20
