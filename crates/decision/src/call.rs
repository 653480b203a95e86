//! What the plane is asked.

/// The time, handed in: the plane reads no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, milliseconds since 1970. Stands in records and windows.
    pub wall_ms: i64,
    /// Monotonic clock, milliseconds since any start. Deadlines run on it.
    pub mono_ms: i64,
}

/// One action of a live task.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The task's id, proven by the caller's token.
    pub task: &'a str,
    /// Name of the enforcement point, proven by the connection.
    pub pep: &'a str,
    /// How the task's proof was shown: `jkt:…` or `uid:…` must be the task's own; `inproc` and
    /// `pep:…` (a token shown by an enforcement point with an identity of its own) are noted.
    pub binding: &'a str,
    /// The action's name.
    pub action: &'a str,
    /// Type of the resource, as the bundle names it.
    pub resource_type: &'a str,
    /// The resource's id.
    pub resource_id: &'a str,
    /// Arguments: a JSON object, or empty for none.
    pub args: &'a [u8],
}

/// A question without a task, from an enforcement point that may assert subjects. Properties and
/// context are JSON objects, or empty for none.
#[derive(Clone, Copy, Debug)]
pub struct TasklessCall<'a> {
    /// Name of the enforcement point, proven by the connection.
    pub pep: &'a str,
    /// How its identity was shown, for the record.
    pub binding: &'a str,
    /// Type of the subject.
    pub subject_type: &'a str,
    /// The subject's id.
    pub subject_id: &'a str,
    /// What the caller says of the subject.
    pub subject_properties: &'a [u8],
    /// The action's name.
    pub action: &'a str,
    /// The action's properties: its arguments.
    pub action_properties: &'a [u8],
    /// Type of the resource.
    pub resource_type: &'a str,
    /// The resource's id.
    pub resource_id: &'a str,
    /// What the caller says of the resource.
    pub resource_properties: &'a [u8],
    /// The request's context. Stands sealed in nothing and is not shown to policies.
    pub context: &'a [u8],
}
