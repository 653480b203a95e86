//! Arguments of a call by which its own result is chosen later.

use super::Program;
use crate::json::Json;

/// Bytes of a call's arguments that are remembered until its result comes, at most.
const MAX_CITED: usize = 16 * 1024;

impl Program {
    /// Of a call's arguments those that choose rows of its own result, as JSON; nothing, where none does or
    /// they are too large.
    pub(crate) fn cited(&self, action: &str, args: &Json<'_>) -> Option<Box<[u8]>> {
        let (_, act) = self.act(action).filter(|(_, act)| !act.cites.is_empty())?;
        let Json::Object(members) = args else { return None };
        let cited = members.iter().filter(|(name, _)| act.cites.iter().any(|cited| **cited == **name));
        let mut out = Vec::new();
        Json::Object(cited.cloned().collect()).write(&mut out);
        (out.len() <= MAX_CITED).then(|| out.into_boxed_slice())
    }

    /// Whether arguments of an action's calls choose rows of its results.
    pub(crate) fn cites(&self, action: &str) -> bool {
        self.act(action).is_some_and(|(_, act)| !act.cites.is_empty())
    }
}
