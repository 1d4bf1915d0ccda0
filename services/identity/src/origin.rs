//! Where a request came from: enough to identify misuse later (I3).

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use http::HeaderMap;
use http::request::Parts;

use crate::Identity;

const USER_AGENT_CHARS_MAX: usize = 256;

/// Network address and user agent, as recorded with applications, acceptances and codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub address: String,
    pub user_agent: String,
}

impl Origin {
    /// From the peer and its headers; what proxies say is believed only of proxies in `trusted`.
    #[must_use]
    pub fn of(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpAddr]) -> Self {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
        // The last entry is the one that the trusted proxy itself wrote.
        let forwarded = || -> Option<IpAddr> {
            headers
                .get_all("x-forwarded-for")
                .iter()
                .next_back()?
                .to_str()
                .ok()?
                .rsplit(',')
                .next()?
                .trim()
                .parse()
                .ok()
        };
        let address = peer.map(|p| {
            if trusted.contains(&p) {
                forwarded().unwrap_or(p)
            } else {
                p
            }
        });
        let user_agent = text("user-agent").unwrap_or("unknown");
        Self {
            address: address.map_or_else(|| "unknown".to_owned(), |a| a.to_canonical().to_string()),
            user_agent: user_agent
                .chars()
                .filter(|c| !c.is_control())
                .take(USER_AGENT_CHARS_MAX)
                .collect(),
        }
    }
}

impl<S> FromRequestParts<S> for Origin
where
    Identity: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let identity = Identity::from_ref(state);
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|c| c.0.ip());
        Ok(Self::of(peer, &parts.headers, &identity.trusted_proxies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let other: IpAddr = "192.0.2.7".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-forwarded-for",
            "203.0.113.9, 198.51.100.4".parse().unwrap(),
        );
        headers.insert("user-agent", "curl/8".parse().unwrap());
        let address = |peer| Origin::of(peer, &headers, &[proxy]).address;
        assert_eq!(address(Some(proxy)), "198.51.100.4");
        assert_eq!(address(Some(other)), "192.0.2.7");
        assert_eq!(address(None), "unknown");
        assert_eq!(Origin::of(None, &headers, &[]).user_agent, "curl/8");
    }
}
