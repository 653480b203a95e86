//! Hosts: which a route is for, and which a request names.

use crate::{Refused, refused};

/// Which hosts a route is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    /// This one. Without a port: on its scheme's own port.
    Named { name: String, port: Option<u16> },
    /// Whichever the proxy sends here.
    Any,
}

impl Host {
    /// Read a route's host.
    pub(crate) fn pattern(text: &str) -> Result<Self, Refused> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, port) = read(text)?;
        Ok(Self::Named { name, port })
    }

    /// Whether a request's host is one of them.
    pub(crate) fn admits(&self, name: &str, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Named { name: own, port: Some(own_port) } => own == name && port == Some(*own_port),
            Self::Named { name: own, port: None } => own == name && matches!(port, None | Some(80 | 443)),
        }
    }
}

/// A host's name in lower case, and its port.
pub(crate) fn read(text: &str) -> Result<(String, Option<u16>), Refused> {
    let lower = text.to_ascii_lowercase();
    let (name, port) = match lower.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, rest)) => {
            if inner.parse::<std::net::Ipv6Addr>().is_err() {
                return refused("the host is no host's name");
            }
            (format!("[{inner}]"), rest.strip_prefix(':').or((!rest.is_empty()).then_some("?")))
        }
        None => match lower.split_once(':') {
            Some((name, port)) => (name.to_owned(), Some(port)),
            None => (lower, None),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let labels = |name: &str| !name.is_empty() && name.split('.').all(|label| !label.is_empty());
    if name.len() > 255 || !(name.starts_with('[') || (name.chars().all(plain) && labels(&name))) {
        return refused("the host is no host's name");
    }
    match port {
        None => Ok((name, None)),
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok((name, Some(port))),
            _ => refused("the host's port is no port"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_without_regard_to_case_and_matched_with_its_port() {
        assert_eq!(read("Billing.Example:8443").unwrap(), ("billing.example".to_owned(), Some(8443)));
        assert_eq!(read("[::1]:80").unwrap(), ("[::1]".to_owned(), Some(80)));
        let plain = Host::pattern("billing.example").unwrap();
        assert!(plain.admits("billing.example", None) && plain.admits("billing.example", Some(443)));
        assert!(!plain.admits("billing.example", Some(8443)) && !plain.admits("x.billing.example", None));
        let other = Host::pattern("billing.example:8443").unwrap();
        assert!(other.admits("billing.example", Some(8443)));
        assert!(!other.admits("billing.example", Some(443)) && !other.admits("billing.example", None));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "", ".", "a.", ".a", "a..b", "a b", "a/b", "a@b", "u:p@b", "a:", "a:0", "a:+1", "a:99999", "[x]", "[::1]x",
            "é",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"a".repeat(256)).is_err());
    }
}
