//! The rules: name, severity, clause.

use super::Rule;
use super::Severity::{Error, Warning};

macro_rules! rules {
    ($($name:ident $severity:ident $id:literal $clause:literal;)*) => {
        $(
            #[doc = $clause]
            pub static $name: Rule = Rule { id: $id, severity: $severity, clause: $clause };
        )*
        /// Every rule.
        pub static ALL: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    // Encoding.
    DER Error "der" "X.690 8.1.3, 10, 11";
    STRUCTURE Error "structure" "RFC 5280 4.1, 5.1; RFC 2986 4.1; RFC 6960 4.2.1; RFC 3161 2.4.2; RFC 5652 5.3";
    TIME_ENCODING Error "time_encoding" "RFC 5280 4.1.2.5, 5.1.2.4";
    SIGNATURE_ALGORITHM Error "signature_algorithm" "RFC 5280 4.1.2.3, 5.1.2.2; RFC 5758 3.2";
    ISSUER_NAME Error "issuer_name" "RFC 5280 4.1.2.4, 5.1.2.3";
    AUTHORITY_KEY_ID Error "authority_key_id" "RFC 5280 4.2.1.1, 5.2.1";

    // Certificates.
    CERTIFICATE_VERSION Error "certificate_version" "RFC 5280 4.1.2.1";
    SERIAL_POSITIVE Error "serial_positive" "RFC 5280 4.1.2.2";
    SERIAL_LENGTH Error "serial_length" "RFC 5280 4.1.2.2";
    SERIAL_ENTROPY Error "serial_entropy" "CA/Browser Forum Baseline Requirements 7.1";
    ISSUER_MAY_SIGN Error "issuer_may_sign" "RFC 5280 4.2.1.3, 4.2.1.9";
    VALIDITY_ORDER Error "validity_order" "RFC 5280 4.1.2.5";
    VALIDITY_WITHIN_ISSUER Error "validity_within_issuer" "RFC 5280 6.1.3 (a)(2)";
    SUBJECT_EMPTY Error "subject_empty" "RFC 5280 4.1.2.6";
    NAME_STRING_TYPE Error "name_string_type" "RFC 5280 4.1.2.4, appendix A.1";
    NAME_LENGTH Error "name_length" "RFC 5280 appendix A.1";
    NAME_COUNTRY Error "name_country" "RFC 5280 appendix A.1; ISO 3166-1";
    NAME_CHARACTERS Error "name_characters" "RFC 5280 4.1.2.4; RFC 4518 2.4";
    NAME_DUPLICATE Error "name_duplicate" "EN 319 412-2 4.2.4; EN 319 412-3 4.2.1";
    NAME_COMMON_NAME Error "name_common_name" "EN 319 412-2 4.2.4; EN 319 412-3 4.2.1";
    NAME_LEGAL_PERSON Warning "name_legal_person" "EN 319 412-3 4.2.1";
    NAME_NATURAL_PERSON Warning "name_natural_person" "EN 319 412-2 4.2.4";
    KEY_ALGORITHM Error "key_algorithm" "RFC 5480 2.1.1";
    KEY_POINT Error "key_point" "RFC 5480 2.2; SEC 1 2.3.4";
    UNIQUE_IDENTIFIERS Error "unique_identifiers" "RFC 5280 4.1.2.8";
    EXTENSION_DUPLICATE Error "extension_duplicate" "RFC 5280 4.2";
    EXTENSION_UNKNOWN_CRITICAL Error "extension_unknown_critical" "RFC 5280 4.2";
    EXTENSION_UNKNOWN Warning "extension_unknown" "RFC 5280 4.2";
    EXTENSION_CRITICALITY Error "extension_criticality" "RFC 5280 4.2.1, 5.2, 5.3; RFC 3161 2.3";
    EXTENSION_VALUE Error "extension_value" "RFC 5280 4.2.1, 5.2, 5.3";
    BASIC_CONSTRAINTS Error "basic_constraints" "RFC 5280 4.2.1.9";
    KEY_USAGE Error "key_usage" "RFC 5280 4.2.1.3; EN 319 412-2 4.3.2";
    EXTENDED_KEY_USAGE Error "extended_key_usage" "RFC 5280 4.2.1.12; RFC 3161 2.3; RFC 6960 4.2.2.2";
    SUBJECT_KEY_ID Error "subject_key_id" "RFC 5280 4.2.1.2";
    CRL_DISTRIBUTION_POINTS Error "crl_distribution_points" "RFC 5280 4.2.1.13; EN 319 412-2 4.3.11";
    CRL_DISTRIBUTION_POINTS_MISSING Warning "crl_distribution_points_missing" "RFC 5280 4.2.1.13; EN 319 412-2 4.3.11";
    AUTHORITY_INFO_ACCESS Error "authority_info_access" "RFC 5280 4.2.2.1";
    AUTHORITY_INFO_ACCESS_MISSING Warning "authority_info_access_missing" "EN 319 412-2 4.4.1";
    CERTIFICATE_POLICIES Error "certificate_policies" "RFC 5280 4.2.1.4; EN 319 412-2 4.3.3";
    OCSP_NO_CHECK Error "ocsp_no_check" "RFC 6960 4.2.2.2.1";
    SUBJECT_ALT_NAME Error "subject_alt_name" "RFC 5280 4.2.1.6";
    INSTRUCTION Error "instruction" "Probity event profile";

    // Certification requests.
    REQUEST_VERSION Error "request_version" "RFC 2986 4.1";
    REQUEST_KEY Error "request_key" "RFC 2986 4.1";

    // Revocation lists.
    CRL_VERSION Error "crl_version" "RFC 5280 5.1.2.1";
    CRL_ISSUER_MAY_SIGN Error "crl_issuer_may_sign" "RFC 5280 4.2.1.3";
    CRL_UPDATE_ORDER Error "crl_update_order" "RFC 5280 5.1.2.5";
    CRL_NUMBER Error "crl_number" "RFC 5280 5.2.3";
    CRL_EMPTY Error "crl_empty" "RFC 5280 5.1.2.6";
    CRL_ENTRY_SERIAL Error "crl_entry_serial" "RFC 5280 5.1.2.6, 4.1.2.2";
    CRL_ENTRY_DUPLICATE Error "crl_entry_duplicate" "RFC 5280 5.1.2.6";
    CRL_ENTRY_DATE Error "crl_entry_date" "RFC 5280 5.1.2.6";
    CRL_REASON Error "crl_reason" "RFC 5280 5.3.1";
    CRL_INVALIDITY_DATE Error "crl_invalidity_date" "RFC 5280 5.3.2";

    // OCSP responses.
    OCSP_VERSION Error "ocsp_version" "RFC 6960 4.2.1";
    OCSP_RESPONDER Error "ocsp_responder" "RFC 6960 4.2.2.2";
    OCSP_RESPONDER_ID Error "ocsp_responder_id" "RFC 6960 4.2.2.3";
    OCSP_TIMES Error "ocsp_times" "RFC 6960 4.2.2.1; RFC 5019 2.2.4";
    OCSP_CERT_ID Error "ocsp_cert_id" "RFC 6960 3.2, 4.2.1";
    OCSP_REVOCATION_TIME Error "ocsp_revocation_time" "RFC 6960 4.2.1";
    OCSP_REASON Error "ocsp_reason" "RFC 6960 4.2.1; RFC 5280 5.3.1";
    OCSP_NONCE Error "ocsp_nonce" "RFC 9654 2.1";
    OCSP_EXTENSION Error "ocsp_extension" "RFC 5019 2.2.1; RFC 6960 4.4";

    // Time-stamp tokens.
    TOKEN_VERSION Error "token_version" "RFC 3161 2.4.2";
    TOKEN_POLICY Error "token_policy" "RFC 3161 2.4.2";
    TOKEN_IMPRINT Error "token_imprint" "RFC 3161 2.4.2; EN 319 422 5.2.2";
    TOKEN_SERIAL Error "token_serial" "RFC 3161 2.4.2";
    TOKEN_TIME Error "token_time" "RFC 3161 2.4.2";
    TOKEN_ACCURACY Error "token_accuracy" "RFC 3161 2.4.2";
    TOKEN_ACCURACY_MISSING Warning "token_accuracy_missing" "EN 319 422 5.2.2";
    TOKEN_ORDERING Error "token_ordering" "EN 319 422 5.2.2";
    TOKEN_NONCE Error "token_nonce" "RFC 3161 2.4.2";
    TOKEN_EXTENSION Error "token_extension" "EN 319 422 5.2.2";
    TOKEN_UNIT Error "token_unit" "RFC 3161 2.3";

    // Signed attributes.
    ATTRIBUTE_SINGLE Error "attribute_single" "RFC 5652 11; EN 319 122-1 5";
    ATTRIBUTE_CONTENT_TYPE Error "attribute_content_type" "RFC 5652 11.1";
    ATTRIBUTE_MESSAGE_DIGEST Error "attribute_message_digest" "RFC 5652 11.2";
    ATTRIBUTE_SIGNING_CERTIFICATE Error "attribute_signing_certificate" "RFC 5035 3, 4; EN 319 122-1 5.2.2.3; RFC 5816 2.2.1";
    ATTRIBUTE_SIGNING_TIME Error "attribute_signing_time" "RFC 5652 11.3; EN 319 122-1 5.2.1, 6.3";
    ATTRIBUTE_COMMITMENT_TYPE Error "attribute_commitment_type" "EN 319 122-1 5.2.3";
    ATTRIBUTE_SIGNER_KEY_USAGE Error "attribute_signer_key_usage" "RFC 5280 4.2.1.3";

    // Manifests.
    MANIFEST_SCHEMA Error "manifest_schema" "EN 319 162-1 annex A.4";
    MANIFEST_SIGNATURE Error "manifest_signature" "EN 319 162-1 4.4.3.2, annex A.4";
    MANIFEST_REFERENCE Error "manifest_reference" "EN 319 162-1 4.4.3.2, annex A.4";
    MANIFEST_MIME_TYPE Error "manifest_mime_type" "EN 319 162-1 annex A.4";
    MANIFEST_FORM Error "manifest_form" "EN 319 162-1 annex A.4";
}
