//! Which file lies where. Each role's folder holds that role's own keys and no others.

/// A certificate with a key that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Folder of the role that holds the key.
    pub role: &'static str,
    /// `<role>/<name>.key.pem` and `<role>/<name>.crt.pem`; the certificate again in `public/`.
    pub name: &'static str,
}

pub(crate) const ROOT: Place = Place {
    role: "root",
    name: "root-ca",
};
pub(crate) const ISSUING: Place = Place {
    role: "issuance",
    name: "issuing-ca",
};
pub(crate) const OCSP: Place = Place {
    role: "issuance",
    name: "ocsp",
};
pub(crate) const TSA: Place = Place {
    role: "timestamping",
    name: "tsa",
};
pub(crate) const SEAL: Place = Place {
    role: "delivery",
    name: "seal",
};

pub(crate) const ROLES: [&str; 5] = ["root", "issuance", "timestamping", "delivery", "storage"];
pub(crate) const PUBLIC: &str = "public";

pub(crate) const LOG_KEY: &str = "storage/log.key.pem";
/// The log's verifier key: `name+id+key`, one line (C2SP signed-note).
pub(crate) const LOG_VERIFIER: &str = "public/log.vkey";
pub(crate) const ROOT_CRL: &str = "public/root-ca.crl";
pub(crate) const ROOT_CRL_PEM: &str = "public/root-ca.crl.pem";
/// Signed the record; its key was destroyed in the ceremony.
pub(crate) const WITNESS: &str = "public/ceremony.crt.pem";
pub(crate) const RECORD: &str = "public/ceremony-record.json";
pub(crate) const RECORD_SIGNATURE: &str = "public/ceremony-record.p7s";

/// Where a certificate is kept that a newer one has taken the place of.
pub(crate) fn former(place: Place, serial: &str) -> String {
    format!("{PUBLIC}/{}.{serial}.crt.pem", place.name)
}

impl Place {
    pub(crate) fn key(self) -> String {
        format!("{}/{}.key.pem", self.role, self.name)
    }

    pub(crate) fn certificate(self) -> String {
        format!("{}/{}.crt.pem", self.role, self.name)
    }

    pub(crate) fn public(self) -> String {
        format!("{PUBLIC}/{}.crt.pem", self.name)
    }
}
