//! Which addresses may be connected to. A name is resolved once; the address that was checked is the
//! one that is connected to, so that a name that answers differently the second time gains nothing.

use crate::answer::Refusal;
use crate::port::{Later, Resolve};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A network that the bundle names: an address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `10.0.0.0/8`, `fd00::/8`, or one address.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    fn is_one_address(self) -> bool {
        self.bits == if self.address.is_ipv4() { 32 } else { 128 }
    }

    fn holds(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits);
                shift == 32 || one.to_bits() >> shift == other.to_bits() >> shift
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.bits);
                shift == 128 || one.to_bits() >> shift == other.to_bits() >> shift
            }
            _ => false,
        }
    }
}

/// Whether an address may be connected to: a public one, or one of a named network. The clouds'
/// metadata addresses must be named alone.
pub(crate) fn may_connect(address: IpAddr, named: &[Network]) -> bool {
    let address = unwrapped(address);
    let named = named.iter().filter(|network| network.holds(address));
    if is_metadata(address) {
        return named.into_iter().any(|network| network.is_one_address());
    }
    named.count() > 0 || is_public(address)
}

/// An IPv4 address that is written as an IPv6 one is what it is.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let [first, second, ..] = v6.segments();
    let bytes = v6.octets();
    match bytes {
        // NAT64 (64:ff9b::/96), and the long-dead "compatible" form.
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] if (a, b, c) != (0, 0, 0) => Ipv4Addr::new(a, b, c, d).into(),
        // 6to4.
        [0x20, 0x02, a, b, c, d, ..] if first == 0x2002 && second == u16::from_be_bytes([a, b]) => {
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => address,
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            matches!(v4.octets(), [169, 254, 169, 254] | [169, 254, 170, 2] | [100, 100, 100, 200] | [168, 63, 129, 16])
        }
        IpAddr::V6(v6) => v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    }
}

/// Globally reachable, after IANA's special-purpose registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(a == 0
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_documentation()
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (18..20).contains(&b))
                || a >= 224)
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            // Only 2000::/3 is global unicast, and of it not the special parts: Teredo and other
            // protocols' (2001::/23), documentation (2001:db8::/32, 3fff::/20).
            (0x2000..0x4000).contains(&a) && !(a == 0x2001 && (b < 0x200 || b == 0xdb8)) && !(a == 0x3fff && b < 0x1000)
        }
    }
}

/// The addresses to connect to, in their order.
pub(crate) async fn choose(
    resolver: &dyn Resolve,
    host: &str,
    port: u16,
    named: &[Network],
) -> Result<Vec<SocketAddr>, Refusal> {
    let found = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => resolver
            .resolve(host, port)
            .await
            .map_err(|_| Refusal::upstream("upstream_unreachable", "the upstream's name cannot be resolved"))?,
    };
    if found.is_empty() {
        return Err(Refusal::upstream("upstream_unreachable", "the upstream's name has no address"));
    }
    // A name with one address inside and one outside is no accident: none of them is taken.
    if found.iter().any(|one| !may_connect(one.ip(), named)) {
        return Err(Refusal::forbidden("address_refused", "the upstream's address is not public, and not named"));
    }
    Ok(found)
}

/// The operating system's resolver.
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Later<'a, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn may(address: &str, named: &[&str]) -> bool {
        let named: Vec<Network> = named.iter().map(|text| Network::read(text).unwrap()).collect();
        may_connect(address.parse().unwrap(), &named)
    }

    #[test]
    fn only_public_addresses_unless_named() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fd00:ec2::254",
        ] {
            assert!(!may(inside, &[]), "{inside}");
        }
        for outside in ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert!(may(outside, &[]), "{outside}");
        }
        assert!(may("10.1.2.3", &["10.0.0.0/8"]));
        assert!(!may("11.1.2.3", &["10.0.0.0/16"]) || may("11.1.2.3", &[]));
        assert!(may("::1", &["::1"]));
        assert!(may("::ffff:10.0.0.1", &["10.0.0.1"]));
    }

    #[test]
    fn metadata_must_be_named_alone() {
        assert!(!may("169.254.169.254", &["169.254.0.0/16"]));
        assert!(!may("169.254.169.254", &["0.0.0.0/0"]));
        assert!(may("169.254.169.254", &["169.254.169.254"]));
    }
}
