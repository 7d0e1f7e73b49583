//! `internal`: files that an application names, and pages that only errors lead to.

use super::files;
use super::location::Serving;
use super::output::Table;
use super::scope::Scope;
use super::tree::Directive;
use super::work::Work;

impl<'t> Serving<'t, '_> {
    /// `internal`: files that an application names, or a page that only errors lead to.
    pub(super) fn internal(
        &mut self,
        work: &mut Work<'t, '_>,
        scope: &Scope<'t>,
        path: &str,
        internal: &'t Directive,
        by: Option<&'t Directive>,
    ) {
        let is_page =
            self.scope.all(&["error_page"]).iter().any(|page| page.args.last().is_some_and(|its| its == path));
        let folder = files::folder(scope, path).ok().flatten();
        match (folder, by) {
            (Some(folder), Some(by)) if !is_page && path != "/" => {
                let mut table = Table::new("[[internal]]", &[by]);
                table.text("url", path, &[internal]);
                table.text("dir", &folder.path, &[folder.by]);
                files::must_be_there(work, &mut table, &folder);
                for directive in [by, internal, folder.by] {
                    work.account.became(directive);
                }
                work.internals.push(table);
                let mut mount = Table::new("[[site.mount]]", &[]);
                mount.text("path", path, &[]);
                mount.set("status", "404", &[internal]);
                mount.says("Clients cannot ask for the files that an application names.");
                self.add(work, mount, None);
            }
            (_, Some(by)) if is_page => {
                work.account.needless(internal, "the page is read at the start, and no path leads to it");
                work.account.needless(by, "the page is read at the start (`error_pages`)");
            }
            (_, by) => {
                let mut table = Table::new("[[site.mount]]", by.as_slice());
                table.text("path", path, &[]);
                table.set("status", "404", &[internal]);
                work.account.became(internal);
                self.add(work, table, by);
            }
        }
    }
}
