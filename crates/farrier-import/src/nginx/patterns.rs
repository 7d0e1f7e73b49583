//! Locations of a regular expression, as far as its form is known.

use super::access::{self, Access};
use super::account::Fate;
use super::files;
use super::location::{At, Kind, Location, Serving};
use super::output::{Table, list};
use super::regex::{self, Shape};
use super::work::Work;

impl<'t> Serving<'t, '_> {
    /// Lets files with these endings last forever in all folders, if that is all that the location says of them.
    fn last_forever(&mut self, work: &mut Work<'t, '_>, location: &Location<'t>, endings: &[String]) -> bool {
        let scope = &location.scope;
        let usual = [
            "expires",
            "add_header",
            "access_log",
            "log_not_found",
            "try_files",
            "etag",
            "tcp_nodelay",
            "open_file_cache",
        ];
        let is_plain = scope.own(&usual).len() == location.directive.children().len();
        let folders: Vec<&mut Table> =
            self.site.mounts.iter_mut().filter(|its| its.header == "[[site.static]]").collect();
        if !is_plain || !files::is_forever(scope) || folders.is_empty() {
            return false;
        }
        let patterns: Vec<String> = endings.iter().map(|ending| format!("**/*{ending}")).collect();
        for table in folders.into_iter().filter(|its| its.items.value("immutable").is_none()) {
            table.set("immutable", list(&patterns), &[location.directive]);
        }
        work.account.became(location.directive);
        for directive in scope.own(&["expires", "add_header"]) {
            work.account.became(directive);
        }
        for directive in scope.own(&["try_files"]) {
            work.account.needless(directive, "the folders answer for their files");
        }
        true
    }

    /// Translates a location of a regular expression.
    pub(super) fn regex(&mut self, work: &mut Work<'t, '_>, location: &Location<'t>) {
        let directive = location.directive;
        let access = access::of(&location.scope);
        let is_refused = matches!(access, Access::Denied(_))
            || location.scope.own(&["return"]).iter().any(|its| matches!(its.arg(), "403" | "404" | "444"));
        // What is lost with a location that restricts access is access to it.
        let lost = |says: &str| match is_refused || matches!(access, Access::Ruled(_)) {
            true => Fate::Dropped(says.to_owned()),
            false => Fate::Without(says.to_owned()),
        };
        match regex::shape(&location.path) {
            Shape::Hidden if is_refused => {
                let why =
                    "files whose names begin with a dot are never served; a server behind the proxy answers for itself";
                work.account.whole(directive, &Fate::Needless(why.to_owned()));
            }
            Shape::Php => {
                // A folder must not show the text of a script that nginx runs.
                files::hide(work, directive, &[".php".to_owned()]);
                if is_refused {
                    work.account.whole(directive, &Fate::Became);
                } else {
                    work.account.whole(
                        directive,
                        &lost("scripts are hidden; a mount with `proxy = \"fastcgi://…\"` and a `SCRIPT_FILENAME` in `params` forwards a whole path to one script"),
                    );
                }
            }
            Shape::Endings(endings) if is_refused => {
                files::hide(work, directive, &endings);
                work.account.whole(directive, &Fate::Became);
            }
            Shape::Endings(endings) => {
                let is_open = matches!(access, Access::Open);
                if !is_open || !self.last_forever(work, location, &endings) {
                    let says = format!(
                        "files ending in {} are served by the `[[site.static]]` that they are in, whose `max_age` and `immutable` say how long they last",
                        endings.join(", ")
                    );
                    work.account.whole(directive, &lost(&says));
                }
            }
            Shape::Prefixes(paths) => {
                for path in paths {
                    let at = At { scope: &location.scope, path: &path, kind: Kind::Prefix, by: Some(directive) };
                    self.answer(work, at);
                }
            }
            Shape::Hidden | Shape::Other => {
                let says =
                    "a mount has a path, and no regular expression: write the paths, or let the application decide";
                work.account.whole(directive, &lost(says));
            }
        }
    }
}
