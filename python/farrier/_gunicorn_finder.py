"""Lets ``import gunicorn`` find Farrier's stand-ins where the real package is not installed.

Farrier installs the finder in its own processes. ``farrier gunicorn-compat install`` copies this file into an environment,
where it is imported at every start of the interpreter: so it imports nothing until somebody asks for ``gunicorn``.
"""

import sys


class GunicornFinder:
    """The last of the finders: asked only when no other one knows the name."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """The stand-in for ``gunicorn``; what lies below it is found as in every package."""
        if name != "gunicorn":
            return None
        # A finder that came later may know the real package.
        later = sys.meta_path[sys.meta_path.index(cls) + 1 :] if cls in sys.meta_path else []
        for finder in later:
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                return spec
        from importlib.util import find_spec, spec_from_file_location

        farrier = find_spec("farrier")
        for folder in (farrier.submodule_search_locations if farrier else None) or ():
            stand_in = folder + "/_gunicorn"
            return spec_from_file_location(name, stand_in + "/__init__.py", submodule_search_locations=[stand_in])
        return None


def install() -> None:
    """Append the finder, once; also where a copy of this file has done so."""
    if not any(getattr(finder, "__name__", "") == "GunicornFinder" for finder in sys.meta_path):
        sys.meta_path.append(GunicornFinder)
