"""Lets ``import gunicorn`` find Farrier's stand-ins where the real package is not installed.

Imported at every start of the interpreter (``farrier-gunicorn.pth``), so that programs which embed the server need no
change: it does nothing but append a finder, and nothing else is imported until somebody asks for ``gunicorn``.
"""

import sys


class GunicornFinder:
    """The last of the finders: asked only when no other one knows the name."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
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


def install():
    """Append the finder, once."""
    if GunicornFinder not in sys.meta_path:
        sys.meta_path.append(GunicornFinder)


install()
