//! The OpenAPI document, generated from the handlers.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::http;

#[derive(OpenApi)]
#[openapi(
    info(title = "Probity intake", description = "Takes evidence in; from then on nothing may lose it."),
    modifiers(&Bearer),
    paths(
        http::put_blob,
        http::head_blob,
        http::post_submission,
        http::get_submission,
        http::list_evidence,
        http::get_evidence,
        http::get_artifact,
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
        assert_eq!(document["paths"].as_object().unwrap().len(), 6);
        assert!(document["components"]["schemas"]["InstructionDocument"].is_object());
        assert!(document["components"]["schemas"]["ItemDocument"].is_object());
    }
}
