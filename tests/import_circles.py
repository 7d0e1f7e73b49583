"""Which files of a crate or a package import each other, and the circles that these imports make.

An import is a `use`, or a path such as `crate::a::b` or `super::c` in code. A `mod x;` declaration is none. A re-export
(`pub use`) is followed to the file that defines the name; it is an import only where its own file uses the name.
"""

import ast
import re

#: Names that a path may begin with and that stand for a module.
ROOTS = ("crate", "super", "self")
DEFINES = r"\b(?:fn|struct|enum|trait|type|const|static|union|macro_rules!)\s+%s\b"


def circles(imports):
    """Strongly connected components of more than one file; `imports` maps each file to the files it imports."""
    index, low, open_files, found = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        open_files.append(file)
        for imported in imports[file]:
            if imported not in index:
                visit(imported)
                low[file] = min(low[file], low[imported])
            elif imported in open_files:
                low[file] = min(low[file], index[imported])
        if low[file] == index[file]:
            start = open_files.index(file)
            component = open_files[start:]
            del open_files[start:]
            if len(component) > 1:
                found.append(sorted(component))

    for file in imports:
        if file not in index:
            visit(file)
    return sorted(found)


def rust_imports(files):
    """Imports between the files of one crate; `files` maps each path below `src` to its code without comments."""
    modules = {module_of(path): RustFile(module_of(path), text) for path, text in files.items()}
    paths = {module_of(path): path for path in files}
    imports = {}
    for module, file in modules.items():
        reached = {home(modules, path) for path in file.used_paths(modules)}
        imports[paths[module]] = {paths[other] for other in reached - {module, None}}
    return imports


def module_of(path):
    """`a/b.rs` and `a/b/mod.rs` are the module `(a, b)`; `lib.rs` and `main.rs` are the root."""
    parts = path.removesuffix(".rs").split("/")
    return tuple(parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts)


def home(modules, path, seen=()):
    """The module whose file defines what `path` names; `None` for a module as such."""
    length = max(n for n in range(len(path) + 1) if path[:n] in modules)
    module, rest = path[:length], path[length:]
    if not rest or path in seen:
        return None
    file = modules[module]
    if rest[0] in file.exported:
        return home(modules, file.exported[rest[0]] + rest[1:], (*seen, path))
    for glob in file.globs:
        if glob in modules and re.search(DEFINES % rest[0], modules[glob].text):
            return glob
    return module


class RustFile:
    """One module's `use` declarations and the rest of its code."""

    def __init__(self, module, text):
        self.module = module
        self.text = text
        #: Names that it imports and names that it re-exports, each with the absolute path.
        self.imported, self.exported, self.globs = {}, {}, []
        self.children = set(re.findall(r"\bmod (\w+);", text))
        self.rest = re.sub(r"\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", self.declare, text)

    def declare(self, found):
        for segments, name in expanded("".join(found[2].replace(" as ", "@").split())):
            path = self.absolute(segments)
            if path is None:
                continue
            if name == "*":
                self.globs.append(path)
            else:
                (self.exported if found[1] else self.imported)[name] = path
        return ""

    def absolute(self, segments):
        """The path from the crate's root; `None` for a path of another crate."""
        first, rest = segments[0], tuple(segments[1:])
        if first == "crate":
            return rest
        if first == "self":
            return self.module + rest
        if first == "super":
            above = self.module[:-1]
            while rest[:1] == ("super",):
                above, rest = above[:-1], rest[1:]
            return above + rest
        return self.module + tuple(segments) if first in self.children else None

    def used_paths(self, modules):
        """Absolute paths of what this file uses of the crate."""
        names = {**self.exported, **self.imported}
        for name, path in names.items():
            # A module's name is used where a path begins with it, and that path says more.
            if path not in modules and (name in self.imported or re.search(r"\b%s\b" % name, self.rest)):
                yield path
        yield from (path + ("*",) for path in self.globs if path in modules)
        for found in re.finditer(r"(?<![\w:])(\w+)((?:\s*::\s*\w+)+)", self.rest):
            segments = [found[1], *re.findall(r"\w+", found[2])]
            if segments[0] in ROOTS or segments[0] in self.children:
                yield self.absolute(segments)
            elif names.get(segments[0]) in modules:
                yield names[segments[0]] + tuple(segments[1:])


def expanded(tree, before=()):
    """The paths of a `use` tree without blanks, each with the name that it binds; `@` stands for `as`."""
    if tree.startswith("{"):
        depth, start = 0, 1
        for place, letter in enumerate(tree):
            depth += (letter == "{") - (letter == "}")
            if (letter == "," and depth == 1) or depth == 0:
                if tree[start:place]:
                    yield from expanded(tree[start:place], before)
                start = place + 1
        return
    first, colons, rest = tree.partition("::")
    if colons:
        yield from expanded(rest, (*before, first) if first else before)
        return
    name, _, bound = first.partition("@")
    if name == "*":
        yield before, "*"
    elif name == "self" and before:
        yield before, bound or before[-1]
    else:
        yield (*before, name), bound or name


def python_imports(package, files):
    """Imports between the modules of one package; `files` maps each module's dotted name to its text.

    An import inside a function counts; one for the type checker alone does not.
    """
    exported = {}
    for name, text in files.items():
        exported[name] = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.parse(text).body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }

    def defined_in(module, name):
        if "%s.%s" % (module, name) in files:
            return "%s.%s" % (module, name)
        if module == package and name in exported[module] and exported[module][name][0] in files:
            return defined_in(*exported[module][name])
        return module

    imports = {}
    for module, text in files.items():
        tree = ast.parse(text)
        typing_only = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        found = set()
        for node in ast.walk(tree):
            if node in typing_only:
                continue
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.update(defined_in(node.module, alias.name) for alias in node.names if node.module in files)
        imports[module] = (found & set(files)) - {module}
    return imports
