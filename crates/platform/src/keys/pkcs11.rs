//! A private key in a PKCS#11 token: an HSM, or SoftHSM in tests. It signs there and never leaves.
//!
//! Messages are hashed here and the token signs the digest (CKM_ECDSA, PKCS#11 v3.0 2.3.6): every token has that
//! mechanism. Sessions are pooled, opened as they are needed up to a bound; when the token goes away and comes back
//! (restarted, replugged, failed over), the next signature opens new ones.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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

use crate::config::SecretFile;
use crate::{Error, Result};

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

/// A key in a token. The PIN is read again for each login and not kept.
pub struct Pkcs11Key {
    config: Pkcs11Config,
    module: Pkcs11,
    algorithm: SignatureAlgorithm,
    public_key_der: Vec<u8>,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<LoggedIn>,
    /// Idle ones and those at work.
    open: usize,
    /// Counts losses of the token: sessions from before the last one are not put back.
    epoch: u64,
}

/// A session that has found the key.
struct LoggedIn {
    session: Session,
    key: ObjectHandle,
    epoch: u64,
}

impl Pkcs11Key {
    /// Opens the key and has it sign once: it must be the certificate's.
    ///
    /// # Errors
    /// `Malformed`, naming the module, token or key that is not there, the PIN that does not fit, or the certificate
    /// that is of another key.
    pub fn open(config: &Pkcs11Config, certificate: &Certificate) -> Result<Self> {
        let public_key_der = certificate.spki_der().to_vec();
        let module = Pkcs11::new(&config.module)
            .map_err(|e| Error::malformed(format!("{}: {e}", config.module.display())))?;
        let key = Self {
            algorithm: SignatureAlgorithm::of_public_key(&public_key_der)
                .map_err(Error::malformed)?,
            config: config.clone(),
            module,
            public_key_der,
            pool: Mutex::default(),
            returned: Condvar::new(),
        };
        let logged_in = key.connect(0)?;
        {
            let mut pool = key.pool();
            pool.open = 1;
            pool.idle.push(logged_in);
        }
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

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new session, logged in.
    fn connect(&self, epoch: u64) -> Result<LoggedIn> {
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
        Ok(LoggedIn {
            session,
            key,
            epoch,
        })
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

    /// An idle session, a new one, or the first that is given back.
    fn take(&self) -> Result<LoggedIn> {
        let mut pool = self.pool();
        loop {
            if let Some(idle) = pool.idle.pop() {
                return Ok(idle);
            }
            if pool.open < self.config.sessions_max.max(1) {
                pool.open += 1;
                let epoch = pool.epoch;
                drop(pool);
                return self.connect(epoch).inspect_err(|_| self.close_one());
            }
            pool = self
                .returned
                .wait(pool)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, session: LoggedIn) {
        let mut pool = self.pool();
        if session.epoch == pool.epoch {
            pool.idle.push(session);
        } else {
            pool.open = pool.open.saturating_sub(1);
        }
        drop(pool);
        self.returned.notify_one();
    }

    fn close_one(&self) {
        let mut pool = self.pool();
        pool.open = pool.open.saturating_sub(1);
        drop(pool);
        self.returned.notify_one();
    }

    /// The token went away: no session from before is of use.
    fn forget(&self, lost: &LoggedIn) {
        let mut pool = self.pool();
        let mut stale = Vec::new();
        if lost.epoch == pool.epoch {
            pool.epoch += 1;
            stale = std::mem::take(&mut pool.idle);
        }
        pool.open = pool.open.saturating_sub(stale.len() + 1);
        drop(pool);
        self.returned.notify_all();
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
            let open = self.take().map_err(|e| failed(&e))?;
            match open.session.sign(&Mechanism::Ecdsa, open.key, &digest) {
                Ok(signature) => {
                    self.give_back(open);
                    return ecdsa_sig_value(self.algorithm, &signature);
                }
                Err(e) if is_lost(&e) => {
                    self.forget(&open);
                    if is_second {
                        return Err(failed(&self.bad(&e)));
                    }
                    is_second = true;
                }
                Err(e) => {
                    // What state the session is in, nobody knows.
                    drop(open);
                    self.close_one();
                    return Err(failed(&self.bad(&e)));
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
