//! JSON in, with refusals as problem documents.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use serde::de::DeserializeOwned;

use super::Problem;
use crate::Error;

/// A JSON body, parsed. What does not parse is refused as `malformed`, saying where.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let parsed = axum::Json::<T>::from_request(request, state).await;
        parsed
            .map(|axum::Json(value)| Self(value))
            .map_err(|e| refusal(&e))
    }
}

impl<T: serde::Serialize> axum::response::IntoResponse for Json<T> {
    fn into_response(self) -> axum::response::Response {
        axum::Json(self.0).into_response()
    }
}

fn refusal(e: &JsonRejection) -> Problem {
    let detail = match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is longer than allowed here".to_owned(),
        _ => e.body_text(),
    };
    Problem(Error::malformed(detail))
}
