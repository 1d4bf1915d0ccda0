//! The OpenAPI document, generated from the handlers.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::http;

#[derive(OpenApi)]
#[openapi(
    info(title = "Probity identity", description = "Who somebody is, and that it was their own will."),
    modifiers(&Bearer),
    paths(
        http::apply_party,
        http::read_party,
        http::decide_party,
        http::accept_agreement,
        http::publish_agreement,
        http::read_agreement,
        http::withdraw_agreement,
        http::issue_credential,
        http::revoke_credential,
        http::ask_intent,
        http::read_intent,
        http::confirm,
    )
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer =
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("credential", bearer);
    }
}

/// The document as JSON.
#[must_use]
pub fn openapi_json() -> String {
    // Strings, numbers and lists only: serialising cannot fail.
    Document::openapi().to_json().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_every_route() {
        let document: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        assert_eq!(document["paths"].as_object().unwrap().len(), 11);
        assert!(document["components"]["schemas"]["PartyApplicationDocument"].is_object());
        assert!(document["components"]["securitySchemes"]["credential"].is_object());
    }
}
