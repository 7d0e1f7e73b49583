//! A file's owner.

use super::{Rejected, Value};

/// A user and a group by name or number; at least one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The user; `None` leaves it.
    pub user: Option<String>,
    /// The group; `None` leaves it.
    pub group: Option<String>,
}

impl Value for Owner {
    const EXPECTED: &'static str = "`USER`, `USER:GROUP` or `:GROUP`";
    const METAVAR: &'static str = "USER:GROUP";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let is_name = |name: &str| !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_whitespace());
        let named =
            |name: &str| if is_name(name) { Ok(Some(name.to_string())) } else { Err(Rejected::unexpected(text)) };
        match text.split_once(':') {
            None => Ok(Owner { user: named(text)?, group: None }),
            Some(("", group)) => Ok(Owner { user: None, group: named(group)? }),
            Some((user, group)) => Ok(Owner { user: named(user)?, group: named(group)? }),
        }
    }

    fn text(&self) -> String {
        let user = self.user.as_deref().unwrap_or_default();
        self.group.as_ref().map_or(user.to_string(), |group| format!("{user}:{group}"))
    }
}

/// A user or a group: a name, or a number in digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account(pub String);

impl Value for Account {
    const EXPECTED: &'static str = "a name or a number";
    const METAVAR: &'static str = "NAME";
    const IS_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.is_empty() || text.contains([':', ' ', '\0']) {
            true => Err(Rejected::unexpected(text)),
            false => Ok(Account(text.to_string())),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_a_group_or_both() {
        let owner = |user: &str, group: &str| {
            let some = |name: &str| Some(name.to_string()).filter(|name| !name.is_empty());
            Ok(Owner { user: some(user), group: some(group) })
        };
        for (text, expected) in [
            ("www", owner("www", "")),
            ("www:web", owner("www", "web")),
            (":web", owner("", "web")),
            ("1000:33", owner("1000", "33")),
        ] {
            assert_eq!(Owner::parse(text), expected);
            assert_eq!(expected.map(|owner| owner.text()), Ok(text.to_string()));
        }
        for text in ["", ":", "www:", "a:b:c", "a b"] {
            assert_eq!(Owner::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
        }
    }
}
