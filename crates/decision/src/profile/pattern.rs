//! Patterns of bounds.

use regex::Regex;

/// A pattern of `flyball.policy.regex`, which always matches in full and knows only ASCII classes.
pub(super) fn anchored(pattern: &str) -> Option<Regex> {
    // `--` in a class is a difference to this engine and two dashes to the other.
    if pattern.contains("--") {
        return None;
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next()? {
            'd' => out.push_str("[0-9]"),
            'D' => out.push_str("[^0-9]"),
            'w' => out.push_str("[0-9A-Za-z_]"),
            'W' => out.push_str("[^0-9A-Za-z_]"),
            's' => out.push_str("[ \\t\\n\\r\\x0b\\x0c]"),
            'S' => out.push_str("[^ \\t\\n\\r\\x0b\\x0c]"),
            // To this engine `\<` is the start of a word.
            angle @ ('<' | '>') => out.push(angle),
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    regex::RegexBuilder::new(&format!(r"\A(?:{out})\z")).size_limit(1 << 20).build().ok()
}

#[cfg(test)]
mod tests {
    use super::anchored;

    #[test]
    fn patterns_match_in_full_and_mean_ascii() {
        let fits = |pattern: &str, text: &str| anchored(pattern).unwrap().is_match(text);
        assert!(fits(r"T-[0-9]+", "T-1042"));
        assert!(!fits(r"T-[0-9]+", "T-1042\n"));
        assert!(!fits(r"T-[0-9]+|x", "T-1 x"));
        assert!(!fits(r"\d+", "٣"));
        assert!(fits(r"[\w.]+", "a.b_9"));
        assert!(!fits(r"\w+", "é"));
        assert!(fits(r"\<a\>", "<a>"));
        assert!(!fits(".", "\n"));
        assert!(anchored("[+--]").is_none());
        assert!(anchored("(").is_none());
    }
}
