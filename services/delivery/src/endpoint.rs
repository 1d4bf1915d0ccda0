//! Where a package may be sent: https, and no address inside anybody's network unless an operator allows it.
//!
//! A recipient's URL is input of others (trap 47). It is checked when the profile is stored, and at every push after
//! its name was resolved: the connection goes to the very addresses that were checked, so a name that resolves
//! differently a moment later gains nothing. Redirects are not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use probity_platform::{Error, Result};
use reqwest::Url;

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A recipient's designated system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
    allow_private: bool,
}

impl Endpoint {
    /// Parses an https address without user, query or fragment. A literal private address is refused here already.
    ///
    /// # Errors
    /// `Malformed`, saying which rule it breaks.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self> {
        let url = Url::parse(text).map_err(|e| Error::malformed(format!("endpoint: {e}")))?;
        let bare = url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(Error::malformed(
                "endpoint: an https address without user, query and fragment",
            ));
        }
        let Some(host) = url.host_str() else {
            return Err(Error::malformed("endpoint: no host"));
        };
        let endpoint = Self {
            url: url.clone(),
            allow_private,
        };
        if let Some(ip) = literal(host) {
            endpoint.check(ip)?;
        }
        Ok(endpoint)
    }

    /// The address deliveries go to: `<endpoint>/deliveries/<id>`.
    #[must_use]
    pub fn delivery_url(&self, delivery: &str) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["deliveries", delivery]);
        }
        url
    }

    /// Host name, as TLS names it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Resolves the name; every address it has must be allowed.
    ///
    /// # Errors
    /// `Unavailable` when it does not resolve, `Forbidden` for an address that may not be called.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>> {
        let port = self.url.port_or_known_default().unwrap_or(443);
        if let Some(ip) = literal(self.host()) {
            self.check(ip)?;
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let looked_up = tokio::time::timeout(
            RESOLVE_TIMEOUT,
            tokio::net::lookup_host((self.host(), port)),
        )
        .await;
        let addresses: Vec<_> = looked_up
            .map_err(|_| Error::unavailable(format!("{}: does not resolve in time", self.host())))?
            .map_err(|e| Error::unavailable(format!("{}: {e}", self.host())))?
            .collect();
        if addresses.is_empty() {
            return Err(Error::unavailable(format!("{}: no address", self.host())));
        }
        for address in &addresses {
            self.check(address.ip())?;
        }
        Ok(addresses)
    }

    fn check(&self, ip: IpAddr) -> Result<()> {
        if is_public(ip) || (self.allow_private && is_private(ip)) {
            return Ok(());
        }
        Err(Error::forbidden(format!(
            "endpoint {}: address {ip} may not be called",
            self.host()
        )))
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// Loopback and private networks: what an operator may allow. Link-local (cloud metadata), multicast and the like
/// never are.
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match unwrapped(ip) {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || in_v4(v4, [100, 64, 0, 0], 10),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// Globally reachable unicast (IANA special-purpose address registries).
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match unwrapped(ip) {
        IpAddr::V4(v4) => {
            const SPECIAL: [([u8; 4], u32); 15] = [
                ([0, 0, 0, 0], 8),
                ([10, 0, 0, 0], 8),
                ([100, 64, 0, 0], 10),
                ([127, 0, 0, 0], 8),
                ([169, 254, 0, 0], 16),
                ([172, 16, 0, 0], 12),
                ([192, 0, 0, 0], 24),
                ([192, 0, 2, 0], 24),
                ([192, 88, 99, 0], 24),
                ([192, 168, 0, 0], 16),
                ([198, 18, 0, 0], 15),
                ([198, 51, 100, 0], 24),
                ([203, 0, 113, 0], 24),
                ([224, 0, 0, 0], 4),
                ([240, 0, 0, 0], 4),
            ];
            !SPECIAL.iter().any(|(net, bits)| in_v4(v4, *net, *bits))
        }
        // Of IPv6 only 2000::/3 is handed out; in it are documentation, Teredo and other special ranges.
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let special = first == 0x2001 && (second < 0x0200 || second == 0x0db8);
            first & 0xe000 == 0x2000 && !special && first != 0x3fff
        }
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, NAT64 and 6to4.
fn unwrapped(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => {
            v4(high, low)
        }
        // The deprecated "IPv4-compatible" form, but not :: and ::1.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => IpAddr::V6(Ipv6Addr::from(v6.segments())),
    }
}

fn in_v4(ip: Ipv4Addr, net: [u8; 4], bits: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    u32::from(ip) & mask == u32::from(Ipv4Addr::from(net)) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_networks_are_not_public() {
        let inside = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b::10.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "100::1",
        ];
        for ip in inside {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn operators_allow_private_but_never_link_local() {
        for ip in ["127.0.0.1", "10.0.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "0.0.0.0",
            "::ffff:169.254.169.254",
        ] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn urls() {
        for good in [
            "https://court.example",
            "https://court.example:8443/in",
            "https://1.1.1.1/",
        ] {
            assert!(Endpoint::parse(good, false).is_ok(), "{good}");
        }
        let bad = [
            "http://court.example",
            "ftp://court.example",
            "https://u:p@court.example",
            "https://court.example/?q",
            "https://court.example/#f",
            "https://127.0.0.1",
            "https://[::1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://169.254.169.254/",
            "https://[::ffff:127.0.0.1]/",
            "nonsense",
        ];
        for bad in bad {
            assert!(Endpoint::parse(bad, false).is_err(), "{bad}");
        }
        assert!(Endpoint::parse("https://127.0.0.1:9", true).is_ok());
        assert!(Endpoint::parse("https://169.254.169.254", true).is_err());
        let endpoint = Endpoint::parse("https://court.example/in/", false).unwrap();
        assert_eq!(
            endpoint.delivery_url("d").as_str(),
            "https://court.example/in/deliveries/d"
        );
    }

    #[tokio::test]
    async fn names_that_resolve_inside_are_refused_at_the_push() {
        let inside = Endpoint::parse("https://localhost:1", false).unwrap();
        assert_eq!(
            inside.resolve().await.unwrap_err().kind,
            probity_platform::ErrorKind::Forbidden
        );
        let allowed = Endpoint::parse("https://localhost:1", true).unwrap();
        assert!(!allowed.resolve().await.unwrap().is_empty());
    }
}
