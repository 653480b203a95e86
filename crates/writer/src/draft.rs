//! temporary
pub struct CounterCharge { pub key: String, pub unit: String, pub amount: i64, pub limit: i64 }
pub struct RecordDraft { pub task: Option<String>, pub kind: &'static str, pub at_ms: i64, pub body: Vec<u8>, pub sealed: Option<Vec<u8>>, pub counters: Vec<CounterCharge> }
