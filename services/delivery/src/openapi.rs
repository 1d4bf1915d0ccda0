//! The OpenAPI document, generated from the handlers.

use axum::Json;
use utoipa::OpenApi;

use crate::{court, download, http};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Probity delivery",
        description = "Packages to courts, their receipts, recipient profiles. Every call carries `Authorization: Bearer <credential>`; refusals are problem documents (RFC 9457)."
    ),
    paths(
        http::put_recipient,
        http::get_recipient,
        http::request,
        http::list,
        http::status,
        http::package,
        court::list,
        download::package,
        court::receipt,
    )
)]
struct Api;

/// `GET /openapi.json`.
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let json = serde_json::to_value(Api::openapi()).unwrap();
        let paths = json["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 7, "{:?}", paths.keys());
        assert!(
            json["components"]["schemas"]
                .get("SignedReceiptDocument")
                .is_some()
        );
    }
}
