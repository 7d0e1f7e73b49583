"""The rules of docs/invariants.md: what each crate may depend on, and what it must not contain."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import import_circles

ROOT = Path(__file__).resolve().parent.parent
CRATES = ROOT / "crates"
PAGE = ROOT / "docs" / "invariants.md"

#: What each crate may use of the others: arrows point down only.
ARROWS = {
    "farrier-http": set(),
    "farrier-config": set(),
    "farrier-log": {"farrier-http"},
    "farrier-tls": {"farrier-http", "farrier-config", "farrier-log"},
    "farrier-scheduler": {"farrier-http"},
    "farrier-transport": {"farrier-http", "farrier-tls"},
    "farrier-protocol": {
        "farrier-http",
        "farrier-config",
        "farrier-log",
        "farrier-tls",
        "farrier-scheduler",
        "farrier-transport",
    },
    "farrier-engine": {
        "farrier-http",
        "farrier-config",
        "farrier-log",
        "farrier-tls",
        "farrier-scheduler",
        "farrier-transport",
        "farrier-protocol",
    },
    "farrier-handlers": {"farrier-http", "farrier-log", "farrier-protocol", "farrier-transport"},
    "farrier-import": {"farrier-config"},
    "farrier-supervisor": set(),
    "farrier-proxy": {"farrier-http"},
    "farrier-wsgi": {"farrier-http"},
    "farrier-acme": set(),
    "farrier": {
        "farrier-acme",
        "farrier-http",
        "farrier-config",
        "farrier-engine",
        "farrier-handlers",
        "farrier-import",
        "farrier-log",
        "farrier-protocol",
        "farrier-proxy",
        "farrier-tls",
        "farrier-supervisor",
        "farrier-transport",
        "farrier-wsgi",
    },
}

#: Settings that no code uses yet; a name leaves this list with the line that uses it.
AWAITED = set()

#: The only files with unsafe blocks, and what they are for.
UNSAFE_ROOMS = {
    "farrier-supervisor/src/process/mod.rs": "fork, kill, _exit, inherited descriptors",
    "farrier-supervisor/src/process/forks.rs": "what happens in processes that the application forks",
    "farrier-supervisor/src/signals/pipe.rs": "signal handlers and masks",
    "farrier-supervisor/src/heartbeat/mod.rs": "memory shared with forked processes",
    "farrier-supervisor/src/shared_words.rs": "memory shared with forked processes",
    "farrier-supervisor/src/privileges.rs": "a worker becomes its user for good",
    "farrier-supervisor/src/title.rs": "the title is written over the arguments",
    "farrier-wsgi/src/seam.rs": "the interpreter's thread states",
    "farrier-wsgi/src/start_response.rs": "write() reaches the response of the running call",
    "farrier-wsgi/src/file_wrapper.rs": "a descriptor that Python owns",
}

sys.path.insert(0, str(ROOT / "docs"))
import code_map  # noqa: E402  beside the page it writes


def manifest(crate):
    """Sections of the crate's Cargo.toml: the names of their keys."""
    sections, current = {}, None
    for line in (CRATES / crate / "Cargo.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), set())
        elif re.match(r"[a-z]", line):
            current.add(re.split(r"[ .=]", line, maxsplit=1)[0])
    return sections


def rust(crate, below="src"):
    """The crate's files and their code: without comments, literals and unit tests."""
    for path in sorted((CRATES / crate / below).rglob("*.rs")):
        yield path.relative_to(CRATES).as_posix(), code(path.read_text(encoding="utf-8"))


def code(text):
    text = text.partition("#[cfg(test)]\nmod tests {")[0]
    literal = r'b?"(?:[^"\\]|\\.)*"|b?\'(?:[^\'\\\n]|\\[^\n]{1,8})\''
    return re.sub(r"//[^\n]*|" + literal, lambda found: '""' if found[0][0] != "/" else "", text, flags=re.DOTALL)


def found_in(files, pattern):
    """Places where the pattern matches: `file: text`."""
    return ["%s: %s" % (name, match[0]) for name, text in files for match in re.finditer(pattern, text)]


def test_the_scanner_of_this_module_sees_code_and_nothing_else():
    assert code('let a = "unsafe // x"; // unsafe\nunsafe { b(\'"\', b\'\\\\\', "\\"") }') == (
        'let a = ""; \nunsafe { b("", "", "") }'
    )
    assert code("fn a<'x>(b: &'x u8) {}\n#[cfg(test)]\nmod tests {\nunsafe {}") == "fn a<'x>(b: &'x u8) {}\n"
    assert "pyo3" in manifest("farrier-wsgi")["dependencies"]


def test_arrows_between_crates_point_down_only():
    assert {path.name for path in CRATES.iterdir()} == set(ARROWS)
    for crate, below in ARROWS.items():
        used = {name for name in manifest(crate)["dependencies"] if name.startswith("farrier")}
        assert used <= below, "%s may not use %s" % (crate, used - below)


def test_no_circle_of_imports_has_more_than_four_files():
    packages = {}
    for crate in ARROWS:
        files = {name.partition("/src/")[2]: text for name, text in rust(crate)}
        packages[crate] = import_circles.rust_imports(files)
    modules = {}
    for path in (ROOT / "python" / "farrier").rglob("*.py*"):
        if path.suffix in (".py", ".pyi"):
            name = path.relative_to(ROOT / "python").with_suffix("").as_posix().replace("/", ".")
            modules[name.removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    packages["python/farrier"] = import_circles.python_imports("farrier", modules)
    assert all(any(imports.values()) for imports in packages.values())
    circles = {name: import_circles.circles(imports) for name, imports in packages.items()}
    assert not {name: found for name, all_ in circles.items() if (found := [one for one in all_ if len(one) > 4])}


def test_the_scanner_of_imports_follows_re_exports_and_finds_circles():
    files = {
        "lib.rs": "mod a;\npub mod b;\npub use a::Alpha;\nuse b::inner::Deep as Renamed;\nfn f() { a::make(); }",
        "a.rs": "use crate::b::{self, Beta, inner::{Deep, self}};\nfn make() { b::plain(); inner::Deep::new(); }",
        "b/mod.rs": "pub mod inner;\nmod other;\npub use inner::*;\npub use other::Beta;\npub fn plain() {}",
        "b/inner.rs": "use std::fmt;\npub struct Deep;\nimpl Deep { fn new() { super::super::Alpha::new(); } }",
        "b/other.rs": "use super::Deep;\nuse super::plain;\npub struct Beta;",
    }
    imports = import_circles.rust_imports(files)
    assert imports == {
        "lib.rs": {"a.rs", "b/inner.rs"},
        "a.rs": {"b/mod.rs", "b/inner.rs", "b/other.rs"},
        "b/mod.rs": {"b/inner.rs"},
        "b/inner.rs": {"a.rs"},
        "b/other.rs": {"b/inner.rs", "b/mod.rs"},
    }
    assert import_circles.circles(imports) == [["a.rs", "b/inner.rs", "b/mod.rs", "b/other.rs"]]
    python = {
        "p": "from p.one import One\n",
        "p.one": "def f():\n    from p import two\n",
        "p.two": "from p import One, missing\nif TYPE_CHECKING:\n    import p.three\n",
        "p.three": "import p.two\n",
    }
    imports = import_circles.python_imports("p", python)
    assert imports == {"p": {"p.one"}, "p.one": {"p.two"}, "p.two": {"p", "p.one"}, "p.three": {"p.two"}}
    assert import_circles.circles(imports) == [["p", "p.one", "p.two"]]


def test_only_the_bridge_and_the_composition_know_python():
    knowing = {crate for crate in ARROWS if "pyo3" in set().union(*manifest(crate).values())}
    assert knowing == {"farrier-wsgi", "farrier"}


def test_http_does_no_io_and_reads_no_clock():
    sections = manifest("farrier-http")
    assert sections["dependencies"] <= {"bytes", "memchr", "itoa", "httpdate", "smallvec", "percent-encoding"}
    # Addresses and files are passed as values; other crates open, bind and read the clock.
    values = {
        "std::io::Read",
        "std::io::Seek",
        "std::net::IpAddr",
        "std::net::Ipv4Addr",
        "std::net::Ipv6Addr",
        "std::net::SocketAddr",
        "std::fs::File",
        "std::time::Duration",
        "std::time::SystemTime",
        "std::time::UNIX_EPOCH",
    }
    for name, text in rust("farrier-http"):
        used = set()
        for path, names in re.findall(r"\b(std::(?:io|net|fs|os|env|time|thread|process)::)(\w+|\{[^}]*\})", text):
            used.update(path + each.strip() for each in names.strip("{}").split(","))
        assert used <= values, "%s uses %s" % (name, used - values)
    assert not found_in(
        rust("farrier-http"), r"\bFile::|\bInstant\b|\bSystemTime::now\b|\bTcp\w+|\bUnixStream\b|\bprintln!"
    )


def test_forwarding_does_no_io_and_reads_no_clock():
    outside = r"\bstd::(fs|env|thread|process|time)\b|\bInstant\b|\bSystemTime\b|\bTcp(?:Stream|Listener)\b|\bprintln!"
    files = list(rust("farrier-proxy"))
    assert len(files) > 5
    assert not found_in(files, outside)


def test_unsafe_stands_only_in_the_rooms_named_for_it():
    files = [file for crate in ARROWS for file in rust(crate)]
    rooms = {name for name, text in files if re.search(r"\bunsafe\b", text)}
    assert rooms == set(UNSAFE_ROOMS)
    page = PAGE.read_text(encoding="utf-8")
    assert not [room for room in UNSAFE_ROOMS if "`%s`" % room not in page]


def test_unsafe_states_the_invariant_it_stands_on():
    # The lint refuses a block without a SAFETY comment; this test checks that it is on everywhere.
    workspace = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    assert 'undocumented_unsafe_blocks = "deny"' in workspace
    assert 'unsafe_op_in_unsafe_fn = "deny"' in workspace
    for crate in ARROWS:
        assert "workspace" in manifest(crate)["lints"], crate
    assert not found_in([file for crate in ARROWS for file in rust(crate)], r"allow\([^)]*undocumented_unsafe_blocks")


@pytest.mark.parametrize(
    "crate",
    [
        "farrier-http",
        "farrier-config",
        "farrier-protocol",
        "farrier-engine",
        "farrier-handlers",
        "farrier-log",
        "farrier-proxy",
        "farrier-scheduler",
        "farrier-tls",
        "farrier-transport",
        "farrier-acme",
    ],
)
def test_the_crate_forbids_unsafe(crate):
    assert "#![forbid(unsafe_code)]" in (CRATES / crate / "src" / "lib.rs").read_text(encoding="utf-8")


def test_the_arbiter_has_no_runtime_and_starts_no_thread():
    # HTTP/2 needs the traits of a runtime; only the process that talks to a certificate authority runs one.
    runtimes = {"tokio", "async-std", "smol", "mio", "rayon"}
    having = {crate for crate in ARROWS if runtimes & set().union(*manifest(crate).values())}
    assert having <= {"farrier-protocol", "farrier-acme"}
    for _, text in rust("farrier-protocol"):
        assert set(re.findall(r"tokio::(\w+)", text)) <= {"io"}
    assert not found_in(rust("farrier-supervisor"), r"thread::(spawn|Builder|scope)")


def test_the_running_arbiter_is_one_thread(serve):
    server = serve("def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n")
    assert server.get().status == 200
    assert len(os.listdir("/proc/%d/task" % server.pid)) == 1


def test_what_the_arbiter_decides_is_pure():
    outside = r"\bstd::(io|fs|net|env|thread|process)\b|\bInstant\b|\bSystemTime::now\b|\blibc\b|\brustix\b|\bmonotonic"
    files = [file for file in rust("farrier-supervisor") if "/arbiter/" in file[0]]
    assert len(files) > 5
    assert not found_in(files, outside)


def test_the_scheduler_is_pure():
    outside = r"\bstd::(io|fs|net|env|thread|process|sync)\b|\bInstant\b|\bSystemTime\b|\brustix\b|\bunpark\b"
    files = list(rust("farrier-scheduler"))
    assert len(files) > 5 and manifest("farrier-scheduler")["dependencies"] == {"farrier-http"}
    assert not found_in(files, outside)


def test_the_reactor_uses_nothing_else_of_its_crate():
    inside = [file for file in rust("farrier-transport") if file[0].startswith("farrier-transport/src/reactor")]
    assert len(inside) > 5
    assert not found_in(inside, r"\bcrate::(?!reactor\b)\w+")


def test_no_crate_has_more_than_12_000_lines():
    sizes = {
        crate: sum(
            len(path.read_text(encoding="utf-8").splitlines()) for path in (CRATES / crate / "src").rglob("*.rs")
        )
        for crate in ARROWS
    }
    assert max(sizes.values()) <= 12_000, sizes


def test_a_handler_cannot_see_the_front_its_request_came_through():
    files = [*rust("farrier-wsgi"), *(file for file in rust("farrier-http") if file[0].endswith("src/handler.rs"))]
    assert len(files) > 5
    assert not found_in(files, r"\bwire\b|\bh1\b|\bfarrier_(?:engine|protocol)\b")


def test_there_is_one_request_and_one_response_head():
    files = [file for crate in ARROWS if crate != "farrier-config" for file in rust(crate)]
    assert found_in(files, r"\b(?:struct|enum) Request\b") == ["farrier-http/src/request.rs: struct Request"]
    assert found_in(files, r"\b(?:struct|enum) Response(?:Head)?\b") == [
        "farrier-http/src/response.rs: struct ResponseHead"
    ]


def test_only_rescue_gives_an_error_its_status():
    rescue = dict(rust("farrier-protocol"))["farrier-protocol/src/rescue.rs"]
    assert re.search(r"Kind::HeadTooLarge => 431\b", rescue)
    crates = ("farrier-protocol", "farrier-engine", "farrier-handlers", "farrier-wsgi", "farrier")
    files = [file for crate in crates for file in rust(crate)]
    others = [file for file in files if not file[0].endswith("/rescue.rs")]
    assert not found_in(others, r"\bStatus\([1-9][^)]*\)|\bKind::\w+[^\n]*=> [1-5]\d\d\b")
    assert not found_in(rust("farrier-http"), r"\bKind::\w+[^\n]*=> [^\n]*\d\d\d")


def test_only_one_room_decides_framing():
    room = "farrier-http/src/wire/h1/framing.rs"
    files = [file for crate in ARROWS for file in rust(crate)]
    deciding = r"\bfn \w+(?:<[^>]*>)?\([^)]*\)\s*->\s*[^{;]*\b(?:Body|Response)Framing\b"
    assert {place.partition(":")[0] for place in found_in(files, deciding)} == {room}
    reading = {
        place.partition(":")[0] for place in found_in(files, r"KnownField::(?:TransferEncoding|ContentLength)\b")
    }
    # The environ leaves Transfer-Encoding out, and so do the variables of a gateway. A forwarded request gets its framing
    # anew. None of them decides anything.
    assert reading == {
        room,
        "farrier-wsgi/src/environ.rs",
        "farrier-http/src/wire/variables.rs",
        "farrier-proxy/src/request.rs",
    }


def test_configuration_becomes_values_at_two_doors():
    files = [
        file
        for crate in (
            "farrier-protocol",
            "farrier-engine",
            "farrier-handlers",
            "farrier-tls",
            "farrier-log",
            "farrier-transport",
            "farrier-scheduler",
        )
        for file in rust(crate)
    ]
    knowing = {place.partition(":")[0] for place in found_in(files, r"\bfarrier_config\b")}
    doors = {"farrier-protocol/src/rules.rs", "farrier-tls/src/settings.rs"}
    # The start hands the config to `rules`; the terms of TLS have two of its words, and those with servers a table of it.
    terms = {"farrier-tls/src/terms.rs", "farrier-tls/src/client_terms.rs"}
    assert knowing == {*doors, *terms, "farrier-engine/src/seats/start.rs"}
    assert not found_in([*rust("farrier-wsgi"), *rust("farrier-supervisor")], r"\bfarrier_config\b")
    assert not found_in([file for file in files if file[0] not in doors], r"\bconfig\.\w+")


def test_every_setting_is_used():
    table = code((CRATES / "farrier-config/src/table.rs").read_text(encoding="utf-8"))
    rows = re.findall(
        r"^    (\w+)(?: as \S+)?: [A-Z]\w*(?:<\w+>)? =|^    (\w+): (?:u32|u64|bool|String)\b", table, re.MULTILINE
    )
    settings = {first or second for first, second in rows}
    assert len(settings) > 40
    users = " ".join(
        text for crate in ("farrier", "farrier-protocol", "farrier-engine", "farrier-tls") for _, text in rust(crate)
    )
    # Files in which one setting determines another.
    users += dict(rust("farrier-config"))["farrier-config/src/settle.rs"]
    users += dict(rust("farrier-config"))["farrier-config/src/sites/mod.rs"]
    # Settings of Python's loggers are read in Python.
    users += " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "python/farrier").glob("*logging.py"))
    assert settings >= AWAITED
    unused = {name for name in settings if not re.search(r"\b(?:config|cfg)\s*\.%s\b" % name, users)}
    assert unused <= AWAITED


def test_every_source_file_says_what_it_is_for():
    silent = [path for room in code_map.ROOMS for path in code_map.sources(room) if not code_map.header(path)]
    assert not silent


def test_the_code_map_is_current():
    assert code_map.PAGE.read_text(encoding="utf-8") == code_map.code_map(), "run `make docs`"


def test_the_figures_in_the_readme_are_those_that_were_measured():
    command = [sys.executable, str(ROOT / "bench" / "report.py"), "--readme", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_invariant_names_what_checks_it_and_that_exists():
    section = re.search(r"^## Invariants\n(.*?)^## ", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[1]
    invariants = re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]
    assert len(invariants) >= 10
    tests = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    tests += " ".join(path.read_text(encoding="utf-8") for path in CRATES.rglob("*.rs"))
    for invariant in invariants:
        named = re.findall(r"`((?:test_|the_)\w+)`", invariant)
        assert named or "Not checked by" in " ".join(invariant.split()), invariant
        for name in named:
            assert re.search(r"\b(?:def|fn) %s\(" % name, tests), name


def test_the_messages_that_the_guide_explains_are_the_programs_own():
    section = (ROOT / "docs/guide.md").read_text(encoding="utf-8").partition("## Troubleshooting\n")[2]
    messages = [first or second for first, second in re.findall(r"\*\*(?:``(.+?)``|`(.+?)`)\*\*", section)]
    assert len(messages) > 15
    sources = [*CRATES.glob("*/src/**/*.rs"), *(ROOT / "python").rglob("*.py")]
    # A message that is broken over lines in the source is one line here.
    text = " ".join(re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8")) for path in sources)
    said = " ".join(re.sub(r'"\s*f?"', "", text).split())
    for message in messages:
        for words in message.replace("`", "").split("…"):
            assert words.strip(" :;?") in said.replace("`", ""), message


def test_the_pages_link_to_files_that_exist():
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "bench/README.md")]
    for page in [*pages, *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not re.match(r"[a-z]+:", target) and not target.startswith(("docs/bench.", "bench/results")):
                assert (page.parent / target).exists(), "%s: %s" % (page.name, target)
