//! CPU time from /proc.

/// CPU seconds of a process and its threads so far, user and system; of this one where none is named.
/// Clock ticks are a hundredth of a second.
pub fn cpu_s(pid: Option<u32>) -> f64 {
    let name = pid.map_or("self".to_owned(), |pid| pid.to_string());
    let text = std::fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// The sum over several.
pub fn cpu_of(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| cpu_s(Some(*pid))).sum()
}
