//! `GET /v1/court/deliveries/{delivery}/package`: the encrypted package over HTTP, whole or by ranges.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use probity_domain::DeliveryId;
use probity_platform::Error;
use probity_platform::access::Authenticated;
use probity_platform::edge::Problem;

use crate::delivery::{Package, listed};
use crate::http::{Edge, attach, stream_body};
use crate::range::{Asked, asked};

#[utoipa::path(
    get, path = "/v1/court/deliveries/{delivery}/package", tag = "courts",
    params(
        ("delivery" = String, Path, description = "the delivery's id"),
        ("probity-legal-basis" = String, Header, description = "why this is read; percent-encoded UTF-8; kept in the access log with the bytes that were asked for"),
        ("range" = Option<String>, Header, description = "one range of bytes (RFC 9110 section 14): a part, or what is missing after a break. The package counts as received when its last byte was taken and all before it was asked for"),
        ("if-range" = Option<String>, Header, description = "the ETag of the package that the range is of; the whole is given when it is another by now"),
    ),
    responses(
        (status = 200, description = "the encrypted package: one CMS AuthEnvelopedData, or several one after another", content_type = "application/cms",
            headers(
                ("etag" = String, description = "from the package's SHA-256, strong"),
                ("accept-ranges" = String, description = "bytes"),
                ("probity-package-sha256" = String, description = "SHA-256 of the whole package"),
                ("probity-parts" = String, description = "length of each envelope in bytes, in their order, separated by commas: each is decrypted for itself, and what comes out is joined"),
            ),
        ),
        (status = 206, description = "the bytes of the range; the headers as with 200, and Content-Range", content_type = "application/cms"),
        (status = 304, description = "If-None-Match names this package"),
        (status = 404, description = "not this recipient's, or there is no package of it any more and none may be made; says why"),
        (status = 412, description = "If-Match names another package"),
        (status = 416, description = "the package has no such bytes; Content-Range says how many it has"),
        (status = 503, description = "being prepared, for the first time or again"),
    ),
)]
pub(crate) async fn package(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    method: Method,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let id = DeliveryId::parse(&id)?;
    let basis = request
        .get("probity-legal-basis")
        .and_then(|value| value.to_str().ok());
    let fetch = edge.courier.fetch(&caller, id, basis).await?;
    let size_bytes = fetch.package().size_bytes;
    let etag = format!("\"{}\"", fetch.package().sha256.to_hex());
    let mut headers = about(fetch.package(), &etag)?;
    let asked = asked(&request, &etag, size_bytes);
    let range = match asked {
        Asked::NotModified => return Ok((StatusCode::NOT_MODIFIED, headers).into_response()),
        Asked::PreconditionFailed => {
            let detail = format!("the package of {id} is {etag}");
            let status = StatusCode::PRECONDITION_FAILED;
            return Ok(Problem(Error::conflict(detail)).with_status(status));
        }
        // Only GET knows ranges (section 14.2).
        Asked::NotSatisfiable if method == Method::GET => {
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            let detail = format!("the package of {id} has {size_bytes} bytes");
            let mut refusal = Problem(Error::malformed(detail)).with_status(status);
            let had = value(&format!("bytes */{size_bytes}"))?;
            refusal.headers_mut().insert(header::CONTENT_RANGE, had);
            return Ok(refusal);
        }
        Asked::Range(range) if method == Method::GET => Some(range),
        _ => None,
    };
    attach(&mut headers, &format!("{id}.p7m"));
    let length = range.map_or(size_bytes, |range| range.last - range.first + 1);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if method == Method::HEAD {
        return Ok(headers.into_response());
    }
    let status = match range {
        Some(range) => {
            let (first, last) = (range.first, range.last);
            let given = value(&format!("bytes {first}-{last}/{size_bytes}"))?;
            headers.insert(header::CONTENT_RANGE, given);
            StatusCode::PARTIAL_CONTENT
        }
        None => StatusCode::OK,
    };
    let body = edge.courier.give(fetch, range).await?;
    Ok((status, headers, stream_body(body)).into_response())
}

/// What is said of a package with every answer that gives of it.
fn about(package: &Package, etag: &str) -> Result<HeaderMap, Error> {
    const SHA256: HeaderName = HeaderName::from_static("probity-package-sha256");
    const PARTS: HeaderName = HeaderName::from_static("probity-parts");
    let pairs = [
        (header::CONTENT_TYPE, value("application/cms")?),
        (header::ACCEPT_RANGES, value("bytes")?),
        (header::ETAG, value(etag)?),
        (SHA256, value(&package.sha256.to_hex())?),
        (PARTS, value(&listed(&package.part_bytes))?),
    ];
    Ok(pairs.into_iter().collect())
}

fn value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(Error::internal)
}
