//! An `AuthZEN` request, as `Core.evaluate` takes it.

use std::borrow::Cow;

use flyball_decision::TasklessCall;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Party<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    properties: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    properties: Option<&'a RawValue>,
}

/// `{subject, action, resource, context?}`; unknown members are ignored.
#[derive(Deserialize)]
pub(crate) struct Question<'a> {
    #[serde(borrow)]
    subject: Party<'a>,
    #[serde(borrow)]
    action: Action<'a>,
    #[serde(borrow)]
    resource: Party<'a>,
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
}

fn bytes(raw: Option<&RawValue>) -> &[u8] {
    raw.map_or(&[], |raw| raw.get().as_bytes())
}

impl Question<'_> {
    /// As the plane is asked.
    pub(crate) fn call<'b>(&'b self, pep: &'b str) -> TasklessCall<'b> {
        TasklessCall {
            pep,
            binding: "inproc",
            subject_type: &self.subject.kind,
            subject_id: &self.subject.id,
            subject_properties: bytes(self.subject.properties),
            action: &self.action.name,
            action_properties: bytes(self.action.properties),
            resource_type: &self.resource.kind,
            resource_id: &self.resource.id,
            resource_properties: bytes(self.resource.properties),
            context: bytes(self.context),
        }
    }
}
