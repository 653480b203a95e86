//! What is wrong with a bundle, and where.

use cedar_policy::ffi::DetailedError;
use serde::Serialize;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The policy it is about, empty where it is about something else.
    pub policy: String,
    /// File of the bundle; `schema` for the compiled schema.
    pub file: String,
    /// Line in that file, from 1.
    pub line: u32,
    /// Column in that line, in characters, from 1.
    pub column: u32,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// What is wrong.
    pub message: String,
    /// What may help, or empty.
    pub hint: String,
}

/// A bundle that cannot be loaded. The one in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct LoadError {
    /// `bundle_malformed` or `bundle_invalid`.
    pub code: &'static str,
    /// The first finding, in one line.
    pub detail: String,
    /// Every finding.
    pub diagnostics: Vec<Diagnostic>,
}

/// A bundle that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// The bundle's digest.
    pub digest: String,
    /// How many hand-written policies it has.
    pub policies: usize,
    /// How many profiles it has.
    pub profiles: usize,
    /// Findings that do not refuse it.
    pub warnings: Vec<Diagnostic>,
}

/// Where a text stands.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) policy: &'a str,
    pub(crate) file: &'a str,
    /// The line of the file on which the text begins.
    pub(crate) line: u32,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// Cedar's finding, brought back to the file.
    pub(crate) fn finding(&self, severity: &'static str, error: &DetailedError) -> Diagnostic {
        let offset = error.source_locations.first().map_or(0, |label| label.loc.start);
        let before = self.text.get(..offset).unwrap_or_default();
        let lines = before.bytes().filter(|byte| *byte == b'\n').count();
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        Diagnostic {
            policy: self.policy.to_owned(),
            file: self.file.to_owned(),
            line: self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX)),
            column: u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
            severity,
            message: error.message.clone(),
            hint: error.help.clone().unwrap_or_default(),
        }
    }
}

/// Collects findings.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Findings {
    /// Note something wrong in the document itself.
    pub(crate) fn wrong(&mut self, message: impl Into<String>) {
        self.wrong_at(String::new(), message);
    }

    /// The same, of a place that whoever compiled the document knows under this name.
    pub(crate) fn wrong_at(&mut self, place: String, message: impl Into<String>) {
        self.errors.push(Diagnostic {
            policy: place,
            file: String::new(),
            line: 0,
            column: 0,
            severity: "error",
            message: message.into(),
            hint: String::new(),
        });
    }

    /// All of it as a refusal, or the warnings.
    pub(crate) fn settle(mut self) -> Result<Vec<Diagnostic>, LoadError> {
        // Cedar says the same once for each action that an unscoped policy may be asked about.
        for list in [&mut self.errors, &mut self.warnings] {
            let mut seen = ahash::AHashSet::new();
            list.retain(|one| seen.insert((one.policy.clone(), one.line, one.column, one.message.clone())));
        }
        let Some(first) = self.errors.first() else { return Ok(self.warnings) };
        let place = if first.file.is_empty() { String::new() } else { format!("{}:{}: ", first.file, first.line) };
        let detail = format!("{place}{}", first.message);
        let mut diagnostics = self.errors;
        diagnostics.extend(self.warnings);
        Err(LoadError { code: "bundle_invalid", detail, diagnostics })
    }
}
