//! Host names and IP addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use smol_str::SmolStr;

use crate::exact::{compose, lower, nfc};

/// The longest name that DNS knows.
const LONGEST: usize = 253;

/// A host in lower case, its last point dropped; an IPv6 address in brackets or without.
pub(crate) fn host(text: &str) -> Option<SmolStr> {
    if text.is_empty() || text.len() > LONGEST + 1 {
        return None;
    }
    if text.contains(':') {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        return inner.parse::<Ipv6Addr>().ok().map(|address| SmolStr::from(address.to_string()));
    }
    let text = nfc(text)?;
    let name = text.strip_suffix('.').unwrap_or(&text);
    for label in name.split('.') {
        // No registry gives out a name with a `_`, and yet every resolver and browser takes one.
        let plain = label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        if label.is_empty() || label.len() > 63 || !plain || label.starts_with('-') || label.ends_with(['-', '_']) {
            return None;
        }
    }
    let last = name.rsplit('.').next()?;
    // What ends in a number is an address of four numbers, and nothing that a resolver would make one of.
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X") {
        return name.parse::<Ipv4Addr>().ok().map(|address| SmolStr::from(address.to_string()));
    }
    let folded: String = name.chars().map(lower).collect();
    Some(SmolStr::from(compose(&folded)))
}

/// A host without the `www` in front, which stands for the same site: `www.x.com` is `x.com`. What would be left
/// with one label keeps it.
pub fn without_www(host: &str) -> &str {
    let mut host = host;
    while let Some(rest) = host.strip_prefix("www.").filter(|rest| rest.contains('.')) {
        host = rest;
    }
    host
}

/// Whether a host, written without a scheme, is a name of the Internet: its last label is no file's ending.
pub(crate) fn is_public(host: &str) -> bool {
    let Some((_, last)) = host.rsplit_once('.') else { return host == "localhost" };
    host.parse::<Ipv4Addr>().is_ok() || (is_top(last) && !is_file_ending(last))
}

/// Whether a label can be a top-level domain.
pub(crate) fn is_top(label: &str) -> bool {
    label.starts_with("xn--") || (label.chars().count() >= 2 && label.chars().all(char::is_alphabetic))
}

fn is_file_ending(label: &str) -> bool {
    const ENDINGS: [&str; 40] = [
        "txt", "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "csv", "tsv", "json", "jsonl", "yaml",
        "yml", "toml", "xml", "html", "htm", "md", "rst", "png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "tar",
        "gz", "exe", "dll", "js", "ts", "css", "log", "bak", "ini", "eml",
    ];
    ENDINGS.contains(&label)
}
