//! The table of roles. A new role is one line here; nothing branches on a role's name.

use std::pin::Pin;

use probity_platform::config::{Section, parse_section};
use probity_platform::startup::{Context, Stores};
use probity_platform::{Error, Result};

type Serving = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
type Running = Pin<Box<dyn Future<Output = Result<String>> + Send>>;

/// One role: its name on the command line, in configuration and in NATS.
#[derive(Clone, Copy)]
pub struct Role {
    pub name: &'static str,
    pub does: &'static str,
    /// Parses the role's section and looks at its bounds, without using it.
    pub check: fn(Section) -> Result<()>,
    /// Runs the role until shutdown.
    pub serve: fn(Section, Context) -> Serving,
    /// What else an operator may ask of it.
    pub commands: &'static [RoleCommand],
}

/// A command on a role's stores that ends at once; a word of the command line.
pub struct RoleCommand {
    pub name: &'static str,
    pub does: &'static str,
    /// Answers what to print.
    pub run: fn(Section, Stores) -> Running,
}

macro_rules! role {
    ($name:literal, $role:ident, $does:literal $(, $command:ident: $command_name:literal, $command_does:literal)*) => {
        Role {
            name: $name,
            does: $does,
            check: |section| parse_section::<$role::Config>($name, section)?.check(),
            serve: |section, ctx| {
                Box::pin(async move { $role::serve(parse_section($name, section)?, ctx).await })
            },
            commands: &[$(RoleCommand {
                name: $command_name,
                does: $command_does,
                run: |section, stores| {
                    Box::pin(async move {
                        $role::$command(parse_section($name, section)?, stores).await
                    })
                },
            })*],
        }
    };
}

/// Every role, in the order evidence meets them.
pub const ROLES: [Role; 7] = [
    role!(
        "intake",
        probity_intake,
        "takes submissions and answers for them"
    ),
    role!(
        "identity",
        probity_identity,
        "verifies people and organisations, agreements and intents"
    ),
    role!(
        "issuance",
        probity_issuance,
        "issues certificates, CRLs and OCSP answers"
    ),
    role!(
        "signing",
        probity_signing,
        "signs submissions with event keys"
    ),
    role!(
        "timestamping",
        probity_timestamping,
        "stamps signatures, and anything over HTTP"
    ),
    role!(
        "storage",
        probity_storage,
        "verifies and deposits into the log, proves, reconciles",
        rebuild: "rebuild-index",
        "Writes the index in Redis anew from the log; goes on where the same, cut short, left off."
    ),
    role!(
        "delivery",
        probity_delivery,
        "packages, encrypts and delivers to courts"
    ),
];

/// The names configuration sections may have.
pub fn names() -> Vec<&'static str> {
    ROLES.iter().map(|role| role.name).collect()
}

/// The command of this name, and the role that offers it.
pub fn command(name: &str) -> Option<(Role, &'static RoleCommand)> {
    let offered = |role: Role| role.commands.iter().map(move |command| (role, command));
    ROLES
        .into_iter()
        .flat_map(offered)
        .find(|(_, command)| command.name == name)
}

/// The roles asked for, each once; `all` is every role.
///
/// # Errors
/// `Malformed` for a name that is no role's.
pub fn select(asked: &[String]) -> Result<Vec<Role>> {
    if let Some(unknown) = asked
        .iter()
        .find(|a| *a != "all" && !names().contains(&a.as_str()))
    {
        let known = names().join(", ");
        return Err(Error::malformed(format!(
            "no role {unknown:?}; there are: {known}, all"
        )));
    }
    let wanted = |role: &Role| asked.iter().any(|a| a == "all" || a == role.name);
    Ok(ROLES.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use probity_proto::subjects::{ASKS, HINTS};

    use super::*;

    fn selected(asked: &[&str]) -> Vec<&'static str> {
        let asked: Vec<_> = asked.iter().map(ToString::to_string).collect();
        select(&asked)
            .unwrap()
            .into_iter()
            .map(|r| r.name)
            .collect()
    }

    #[test]
    fn names_are_unique_and_select() {
        assert_eq!(
            names().into_iter().collect::<HashSet<_>>().len(),
            ROLES.len()
        );
        assert_eq!(selected(&["all"]).len(), ROLES.len());
        assert_eq!(
            selected(&["storage", "intake", "storage"]),
            ["intake", "storage"]
        );
        assert!(select(&["clerk".to_owned()]).is_err());
    }

    #[test]
    fn every_subject_belongs_to_roles_that_exist() {
        let names = names();
        for hint in HINTS {
            assert!(
                hint.publishers.iter().all(|p| names.contains(p)) && names.contains(&hint.consumer),
                "{hint:?}"
            );
        }
        for ask in ASKS {
            assert!(
                names.contains(&ask.asked_by) && names.contains(&ask.answered_by),
                "{ask:?}"
            );
        }
    }
}
