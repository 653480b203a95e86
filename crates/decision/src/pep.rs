//! Enforcement points: who may ask, and about what.

use crate::document;

/// The control plane's own name as an enforcement point: in this process, for every action.
pub(crate) const CONTROL_PLANE: &str = "flyball";

/// How an enforcement point proves itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PepIdentity {
    /// The agent's own process, by the task's token.
    Own,
    /// A SPIFFE ID, by mTLS.
    Spiffe(String),
    /// A user of this host, by `SO_PEERCRED`.
    Uid(u32),
    /// SHA-256 of a client certificate, base64url.
    X5t(String),
    /// A gateway in the control plane's own process, by its kind (`postgresql`).
    Gateway(String),
}

/// Which of a request's properties count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The subject's.
    pub subject: bool,
    /// The resource's.
    pub resource: bool,
    /// The action's.
    pub action: bool,
}

/// An enforcement point, as the bundle declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pep {
    /// Its name.
    pub name: String,
    /// How it proves itself.
    pub identity: PepIdentity,
    /// Actions it may ask about; `*` at the end stands for any rest.
    pub actions: Vec<String>,
    /// Whether it may report results.
    pub may_report: bool,
    /// Resource types about which it may assert subjects.
    pub may_assert_subject: Vec<String>,
    /// Whose properties count.
    pub trust: Trust,
    /// It asks once for each request, and what was allowed may stream on for so long.
    pub max_stream_ms: Option<u64>,
}

impl Pep {
    /// Whether it may ask about an action.
    pub fn may_ask(&self, action: &str) -> bool {
        self.actions.iter().any(|pattern| matches(pattern, action))
    }

    /// From the compiled bundle; the text says what is wrong.
    pub(crate) fn read(pep: document::Pep) -> Result<Self, String> {
        if pep.name == CONTROL_PLANE {
            return Err(format!("enforcement point `{CONTROL_PLANE}` is built in"));
        }
        let identity = {
            let mut members = pep.identity.iter();
            match (members.next(), members.next()) {
                (Some((key, value)), None) => match (key.as_str(), value.as_str()) {
                    ("self", None) if value.as_bool() == Some(true) => Some(PepIdentity::Own),
                    ("spiffe", Some(id)) => Some(PepIdentity::Spiffe(id.to_owned())),
                    ("x5t", Some(hash)) => Some(PepIdentity::X5t(hash.to_owned())),
                    ("gateway", Some(kind)) => Some(PepIdentity::Gateway(kind.to_owned())),
                    ("uid", None) => value.as_u64().and_then(|uid| u32::try_from(uid).ok()).map(PepIdentity::Uid),
                    _ => None,
                },
                _ => None,
            }
        }
        .ok_or_else(|| format!("enforcement point `{}` has no identity that we know", pep.name))?;
        let mut trust = Trust::default();
        for word in &pep.trust_properties {
            match word.as_str() {
                "subject" => trust.subject = true,
                "resource" => trust.resource = true,
                "action" => trust.action = true,
                _ => return Err(format!("enforcement point `{}` trusts unknown `{word}`", pep.name)),
            }
        }
        Ok(Self {
            name: pep.name,
            identity,
            actions: pep.actions,
            may_report: pep.may_report,
            may_assert_subject: pep.may_assert_subject,
            trust,
            max_stream_ms: pep.max_stream_ms,
        })
    }
}

/// Whether `text` is `pattern`, whose trailing `*` stands for any rest.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |prefix| text.starts_with(prefix))
}

/// The declared enforcement points of one bundle.
#[derive(Debug, Default)]
pub struct PepTable {
    all: Vec<Pep>,
}

impl PepTable {
    pub(crate) fn new(all: Vec<Pep>) -> Self {
        Self { all }
    }

    /// The enforcement point with that name.
    pub fn by_name(&self, name: &str) -> Option<&Pep> {
        self.all.iter().find(|pep| pep.name == name)
    }

    /// The enforcement point with that identity.
    pub fn by_identity(&self, identity: &PepIdentity) -> Option<&Pep> {
        self.all.iter().find(|pep| pep.identity == *identity)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Pep> {
        self.all.iter()
    }
}
