//! A private key in a PKCS#11 token: an HSM, or SoftHSM in tests. It signs there and never leaves.
//!
//! Messages are hashed here and the token signs the digest (CKM_ECDSA, PKCS#11 v3.0 2.3.6): every token has that
//! mechanism. Sessions are pooled, opened as they are needed up to a bound; when the token goes away and comes back
//! (restarted, replugged, failed over), the next signature opens new ones.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use probity_pki::keys::{SignatureAlgorithm, Signer, ecdsa_sig_value, verify_signature};
use probity_pki::x509::Certificate;
use serde::Deserialize;

use super::pool::{Lent, Pool};
use crate::config::SecretFile;
use crate::{Error, Result};

/// How long a signature waits for a session: a token that stands still must not keep everybody who wants one.
const SESSION_WAIT: Duration = Duration::from_secs(5);

/// What is signed when a key is opened, to see whose it is. No certificate, token or CMS attribute begins like that.
const PROBE: &[u8] = b"probity: is this the key of the certificate?";

/// Where a key is: `pkcs11 = { module = "…", token = "…", key_label = "…", pin_file = "…" }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Config {
    /// The token's library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// CKA_LABEL of the private key.
    pub key_label: Option<String>,
    /// CKA_ID of the private key, in hexadecimal; needed where several keys have the label.
    pub key_id: Option<String>,
    pub pin_file: SecretFile,
    /// Sessions open at once: signatures made side by side. Tokens have limits of their own.
    #[serde(default = "sessions_max")]
    pub sessions_max: usize,
}

const fn sessions_max() -> usize {
    8
}

/// More sessions than any token has.
const SESSIONS_MAX: usize = 256;

impl Pkcs11Config {
    /// # Errors
    /// `Malformed` for a number of sessions outside its bounds.
    pub fn check(&self) -> Result<()> {
        if (1..=SESSIONS_MAX).contains(&self.sessions_max) {
            return Ok(());
        }
        Err(Error::malformed(format!(
            "token {:?}: sessions_max is 1 to {SESSIONS_MAX}",
            self.token
        )))
    }
}

/// A key in a token. The PIN is read again for each login and not kept.
pub struct Pkcs11Key {
    config: Pkcs11Config,
    module: Pkcs11,
    algorithm: SignatureAlgorithm,
    public_key_der: Vec<u8>,
    pool: Pool<LoggedIn>,
}

/// A session that has found the key.
struct LoggedIn {
    session: Session,
    key: ObjectHandle,
}

impl Pkcs11Key {
    /// Opens the key and has it sign once: it must be the certificate's.
    ///
    /// # Errors
    /// `Malformed`, naming the module, token or key that is not there, the PIN that does not fit, or the certificate
    /// that is of another key.
    pub fn open(config: &Pkcs11Config, certificate: &Certificate) -> Result<Self> {
        config.check()?;
        let public_key_der = certificate.spki_der().to_vec();
        let module = Pkcs11::new(&config.module)
            .map_err(|e| Error::malformed(format!("{}: {e}", config.module.display())))?;
        let key = Self {
            algorithm: SignatureAlgorithm::of_public_key(&public_key_der)
                .map_err(Error::malformed)?,
            pool: Pool::new(config.sessions_max, SESSION_WAIT),
            config: config.clone(),
            module,
            public_key_der,
        };
        key.pool.give_back(key.take()?);
        #[expect(
            clippy::disallowed_methods,
            reason = "a probe of the key, and nothing that anybody could take for a statement"
        )]
        let signature = key.sign(PROBE).map_err(|e| key.bad(&e))?;
        verify_signature(&key.public_key_der, key.algorithm, PROBE, &signature)
            .map_err(|_| key.bad(&format_args!("not the key of {}", certificate.subject())))?;
        Ok(key)
    }

    fn bad(&self, reason: &dyn fmt::Display) -> Error {
        Error::malformed(format!("token {:?}: {reason}", self.config.token))
    }

    /// A session: idle, new, or given back in time.
    fn take(&self) -> Result<Lent<LoggedIn>> {
        let busy = || {
            let (token, waited_s) = (&self.config.token, SESSION_WAIT.as_secs());
            Error::unavailable(format!("token {token:?}: no session free for {waited_s} s"))
        };
        self.pool.take(|| self.connect(), busy)
    }

    /// A new session, logged in.
    fn connect(&self) -> Result<LoggedIn> {
        let bad = |what: &str, e: TokenError| self.bad(&format_args!("{what}: {e}"));
        // One initialisation holds for the whole process, whoever made it.
        match self
            .module
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        {
            Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(e) => return Err(bad("the module does not start", e)),
        }
        let slot = self.slot()?;
        let session = self
            .module
            .open_ro_session(slot)
            .map_err(|e| bad("no session", e))?;
        let pin = AuthPin::new(self.config.pin_file.read()?.expose().into());
        match session.login(UserType::User, Some(&pin)) {
            // All sessions of a process are logged in together.
            Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(e) => return Err(bad("login refused", e)),
        }
        let key = self.find(&session)?;
        Ok(LoggedIn { session, key })
    }

    /// Slots are numbered anew when a token comes back; its label stays.
    fn slot(&self) -> Result<Slot> {
        let bad = |e: TokenError| self.bad(&e);
        let mut found = Vec::new();
        for slot in self.module.get_slots_with_token().map_err(bad)? {
            let token = self.module.get_token_info(slot);
            if token.is_ok_and(|token| token.label() == self.config.token) {
                found.push(slot);
            }
        }
        match found.as_slice() {
            [slot] => Ok(*slot),
            [] => Err(self.bad(&"there is no such token")),
            _ => Err(self.bad(&"several tokens have this label")),
        }
    }

    fn find(&self, session: &Session) -> Result<ObjectHandle> {
        let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
        if let Some(label) = &self.config.key_label {
            template.push(Attribute::Label(label.as_bytes().to_vec()));
        }
        if let Some(id) = &self.config.key_id {
            let id = hex::decode(id).map_err(|e| self.bad(&format_args!("key_id: {e}")))?;
            template.push(Attribute::Id(id));
        }
        let found = session.find_objects(&template).map_err(|e| self.bad(&e))?;
        match found.as_slice() {
            [key] => Ok(*key),
            [] => Err(self.bad(&"there is no such private key")),
            _ => Err(self.bad(&"several private keys match: name key_label and key_id")),
        }
    }
}

impl Signer for Pkcs11Key {
    fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    fn sign(&self, message: &[u8]) -> probity_pki::Result<Vec<u8>> {
        let failed = |e: &dyn fmt::Display| probity_pki::Error::Key(e.to_string());
        let digest = self.algorithm.hash().digest(message);
        let mut is_second = false;
        loop {
            let lent = self.take().map_err(|e| failed(&e.detail))?;
            let LoggedIn { session, key } = &lent.session;
            match session.sign(&Mechanism::Ecdsa, *key, &digest) {
                Ok(signature) => {
                    self.pool.give_back(lent);
                    return ecdsa_sig_value(self.algorithm, &signature);
                }
                Err(e) if is_lost(&e) => {
                    self.pool.forget(lent);
                    if is_second {
                        return Err(failed(&self.bad(&e).detail));
                    }
                    is_second = true;
                }
                Err(e) => {
                    // What state the session is in, nobody knows.
                    self.pool.close(lent);
                    return Err(failed(&self.bad(&e).detail));
                }
            }
        }
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl fmt::Debug for Pkcs11Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Key")
            .field("token", &self.config.token)
            .finish_non_exhaustive()
    }
}

/// Errors of a session or token that is gone, which a new session may not have.
const fn is_lost(error: &TokenError) -> bool {
    matches!(
        error,
        TokenError::Pkcs11(
            RvError::CryptokiNotInitialized
                | RvError::DeviceError
                | RvError::DeviceRemoved
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::SessionClosed
                | RvError::SessionHandleInvalid
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::UserNotLoggedIn,
            _
        )
    )
}
