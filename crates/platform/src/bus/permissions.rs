//! What each role may say and hear on the bus: the table of subjects as users and permissions of nats-server.
//!
//! Deny by default. A role may publish its own hints and questions, see how full the streams of its hints are, answer those that may ask it, work its own consumers
//! and make them and their streams when they are missing; it hears its own questions and its own inbox. Nothing else:
//! no other role's subject, inbox, stream or consumer, no listing, no reading or deleting of what a stream holds.
//!
//! One limit of nats-server remains: it permits making a stream or not, but cannot say with which settings. A role that
//! has been taken over could make its own stream with settings that copy what passes on the bus. What passes there is
//! never believed (a deposit is verified as a stranger would) and never only there.

use std::fmt::Write as _;
use std::path::Path;

use nkeys::{KeyPair, KeyPairType};
use probity_proto::subjects::{ASKS, Ask, HINTS, Hint};

use crate::config::SecretFile;
use crate::secret::SecretString;
use crate::{Error, Random, Result};

/// Subjects that a role may publish to and subscribe to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
}

impl Permissions {
    /// The permissions of the role of that name. A role without subjects has its inbox alone.
    #[must_use]
    pub fn of(role: &str) -> Self {
        let mut publish = Vec::new();
        let mut subscribe = vec![inbox(role)];
        for hint in HINTS {
            if hint.publishers.contains(&role) {
                publish.push(hint.subject.to_owned());
                publish.push(format!("$JS.API.STREAM.CREATE.{}", hint.stream));
                // How full it is.
                publish.push(format!("$JS.API.STREAM.INFO.{}", hint.stream));
            }
            if hint.consumer == role {
                publish.extend(consuming(&hint));
            }
        }
        for Ask {
            subject,
            answered_by,
            asked_by,
        } in ASKS
        {
            if asked_by == role {
                publish.push(subject.to_owned());
            }
            if answered_by == role {
                subscribe.push(subject.to_owned());
                publish.push(inbox(asked_by));
            }
        }
        publish.sort_unstable();
        publish.dedup();
        Self { publish, subscribe }
    }
}

/// Where a role hears answers and what it pulled; [`super::Bus::connect`] sets the same prefix.
fn inbox(role: &str) -> String {
    format!("{}.>", inbox_prefix(role))
}

pub(super) fn inbox_prefix(role: &str) -> String {
    format!("_INBOX_{role}")
}

/// What the stage runner and `topology` ask of JetStream for one consumer, and the acknowledgements.
fn consuming(hint: &Hint) -> [String; 8] {
    let Hint {
        stream, consumer, ..
    } = hint;
    let api = |call: &str| format!("$JS.API.{call}");
    [
        api(&format!("STREAM.CREATE.{stream}")),
        api(&format!("STREAM.UPDATE.{stream}")),
        // With the filter in the subject, so that the consumer can be made for this subject alone.
        api(&format!(
            "CONSUMER.CREATE.{stream}.{consumer}.{}",
            hint.subject
        )),
        api(&format!("CONSUMER.INFO.{stream}.{consumer}")),
        api(&format!("CONSUMER.DELETE.{stream}.{consumer}")),
        api(&format!("CONSUMER.MSG.NEXT.{stream}.{consumer}")),
        format!("$JS.ACK.{stream}.{consumer}.>"),
        // From 2.15 on with domain and account in front (trap 28).
        format!("$JS.ACK.*.*.{stream}.{consumer}.>"),
    ]
}

/// A role as a user of nats-server: known by its public NKey, so that the server's configuration holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusUser {
    pub role: String,
    /// Public NKey, `U…`.
    pub public_key: String,
}

impl BusUser {
    /// Makes a user and the seed it proves itself with (`[nats] nkey_file`).
    ///
    /// # Errors
    /// `Internal` when the seed cannot be encoded.
    pub fn make(role: &str, random: &dyn Random) -> Result<(Self, SecretString)> {
        let internal = |e| Error::internal(format!("nkey of {role}: {e}"));
        let pair = KeyPair::new_from_raw(KeyPairType::User, random.bytes()).map_err(internal)?;
        let user = Self {
            role: role.to_owned(),
            public_key: pair.public_key(),
        };
        Ok((user, SecretString::new(pair.seed().map_err(internal)?)))
    }

    /// The user whose seed, or whose public key alone, is in the file.
    ///
    /// # Errors
    /// `Malformed`, naming the file and never what is in it.
    pub fn read(role: &str, path: &Path) -> Result<Self> {
        let text = SecretFile::new(path).read()?;
        let pair = KeyPair::from_seed(text.expose())
            .or_else(|_| KeyPair::from_public_key(text.expose()))
            .ok()
            .filter(|pair| pair.key_pair_type() == KeyPairType::User)
            .ok_or_else(|| {
                Error::malformed(format!(
                    "{}: neither seed nor public key of a user NKey",
                    path.display()
                ))
            })?;
        Ok(Self {
            role: role.to_owned(),
            public_key: pair.public_key(),
        })
    }
}

/// The `authorization` block of nats-server's configuration for these users; whoever else is added later may do
/// nothing until it is given permissions.
#[must_use]
pub fn authorization(users: &[BusUser]) -> String {
    let mut text = String::from(
        "authorization {\n  default_permissions = { publish = { deny = \">\" }, subscribe = { deny = \">\" } }\n  users = [\n",
    );
    for user in users {
        let allowed = Permissions::of(&user.role);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "    # {}\n    {{\n      nkey = \"{}\"\n      permissions = {{\n        publish = {}\n        subscribe = {}\n      }}\n    }}\n",
            user.role,
            user.public_key,
            allow(&allowed.publish),
            allow(&allowed.subscribe),
        );
    }
    text.push_str("  ]\n}\n");
    text
}

/// An empty list of what is allowed would allow everything.
fn allow(subjects: &[String]) -> String {
    if subjects.is_empty() {
        return "{ deny = \">\" }".to_owned();
    }
    let quoted: Vec<_> = subjects
        .iter()
        .map(|s| format!("          \"{s}\"\n"))
        .collect();
    format!("{{ allow = [\n{}        ] }}", quoted.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    #[test]
    fn lists_are_the_table_and_no_more() {
        let timestamping = Permissions::of("timestamping");
        assert_eq!(
            timestamping.subscribe,
            ["_INBOX_timestamping.>", "timestamping.stamp"]
        );
        assert_eq!(
            timestamping.publish,
            [
                "$JS.ACK.*.*.EVIDENCE_SIGNED.timestamping.>",
                "$JS.ACK.EVIDENCE_SIGNED.timestamping.>",
                "$JS.API.CONSUMER.CREATE.EVIDENCE_SIGNED.timestamping.evidence.signed",
                "$JS.API.CONSUMER.DELETE.EVIDENCE_SIGNED.timestamping",
                "$JS.API.CONSUMER.INFO.EVIDENCE_SIGNED.timestamping",
                "$JS.API.CONSUMER.MSG.NEXT.EVIDENCE_SIGNED.timestamping",
                "$JS.API.STREAM.CREATE.EVIDENCE_SIGNED",
                "$JS.API.STREAM.CREATE.EVIDENCE_STAMPED",
                "$JS.API.STREAM.INFO.EVIDENCE_STAMPED",
                "$JS.API.STREAM.UPDATE.EVIDENCE_SIGNED",
                "_INBOX_delivery.>",
                "evidence.stamped",
            ]
        );
        let issuance = Permissions::of("issuance");
        assert_eq!(issuance.publish, ["_INBOX_signing.>"]);
        assert_eq!(
            issuance.subscribe,
            ["_INBOX_issuance.>", "issuance.event_certificate"]
        );
        let identity = Permissions::of("identity");
        assert_eq!(
            (identity.publish.len(), identity.subscribe.len()),
            (0, 1),
            "{identity:?}"
        );
    }

    #[test]
    fn users_are_read_from_seed_or_public_key_and_never_print_the_seed() {
        let folder = tempfile::tempdir().unwrap();
        let (user, seed) = BusUser::make("intake", &SystemRandom).unwrap();
        for (name, text) in [("seed", seed.expose()), ("public", &user.public_key)] {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{text}\n")).unwrap();
            assert_eq!(BusUser::read("intake", &path).unwrap(), user);
        }
        let text = authorization(std::slice::from_ref(&user));
        assert!(text.contains(&user.public_key) && !text.contains(seed.expose()));
        let other = folder.path().join("other");
        std::fs::write(&other, "hunter2").unwrap();
        let refused = BusUser::read("intake", &other).unwrap_err();
        assert!(
            refused.detail.contains("other") && !refused.detail.contains("hunter2"),
            "{refused}"
        );
    }
}
