//! The catalogs of the databases behind the gateway, kept fresh while any lease leads there.
//!
//! One session for each database looks every [`EVERY`] at a sum over the catalogs' rows, and reads the
//! catalog anew when it changed. A name that the catalog does not have is looked for at once. Where
//! nobody could look for [`STALE`], statements are refused: `catalog_stale`.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::AHashMap;
use flyball_pgsql::{Judgement, Policy, Reason, Refusal, SNAPSHOT_SQL, Shape, Snapshot, judge};
use flyball_pgwire::{Console, Judged, Upstream};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

/// Between two looks at a catalog: a change of definitions is seen after this, and a look, at the latest.
pub const EVERY: Duration = Duration::from_secs(1);
/// A catalog that nobody has looked at for so long judges nothing.
pub const STALE: Duration = Duration::from_secs(5);
/// Between two looks that are asked for.
const AT_LEAST: Duration = Duration::from_millis(50);
/// How long a statement waits for the first look, or for one that it asked for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one look may take, and the reading of a catalog.
const LOOK: Duration = Duration::from_secs(2);
const READING: Duration = Duration::from_secs(30);
const VERSION_SQL: &str = include_str!("version.sql");
/// Judgements remembered for one state of a catalog, and bytes of a statement that is.
const MOST_JUDGED: usize = 4_096;
const LONGEST_JUDGED: usize = 8 * 1024;

type Judging = Result<Arc<Judgement>, Refusal>;

/// The number of the next state of any catalog.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One state of a catalog.
struct Known {
    /// No other state, of this or another catalog, has it.
    number: u64,
    version: String,
    snapshot: Snapshot,
    judged: Mutex<Remembered>,
}

/// Judgements by statement. One that comes once, with another literal in each, is not worth its memory: a statement is
/// remembered when it comes for the second time.
#[derive(Default)]
struct Remembered {
    all: AHashMap<Box<str>, Judging>,
    /// Hashes of statements that came, each in the place that it has by its last bits; the next there replaces it.
    came: Vec<u64>,
}

impl Remembered {
    fn keep(&mut self, sql: &str, judged: &Judging) {
        let hash = self.all.hasher().hash_one(sql);
        self.came.resize(MOST_JUDGED, 0);
        let at = usize::try_from(hash % MOST_JUDGED as u64).unwrap_or(0);
        let Some(came) = self.came.get_mut(at) else { return };
        if std::mem::replace(came, hash) != hash {
            return;
        }
        if self.all.len() >= MOST_JUDGED {
            self.all.clear();
        }
        self.all.insert(sql.into(), judged.clone());
    }
}

/// When it was last looked at, and what was seen.
#[derive(Clone, Default)]
struct Seen {
    known: Option<Arc<Known>>,
    at: Option<Instant>,
    looks: u64,
}

/// One database, with the bundle's policy for it.
pub(crate) struct Database {
    pub(crate) target: String,
    policy: Policy,
    path: Vec<String>,
    /// Sessions may be opened with these, by lease.
    logins: RwLock<Vec<(String, Arc<Upstream>)>>,
    seen: watch::Sender<Seen>,
    wanted: Notify,
}

impl Database {
    pub(crate) fn new(target: &str, policy: Policy, path: &[String]) -> Arc<Self> {
        Arc::new(Self {
            target: target.to_owned(),
            policy,
            path: path.to_vec(),
            logins: RwLock::default(),
            seen: watch::Sender::new(Seen::default()),
            wanted: Notify::new(),
        })
    }

    /// One more lease leads here.
    pub(crate) fn add(&self, lease: &str, upstream: Arc<Upstream>) {
        self.logins.write().push((lease.to_owned(), upstream));
        self.wanted.notify_one();
    }

    /// A lease leads here no more.
    pub(crate) fn remove(&self, lease: &str) {
        self.logins.write().retain(|(known, _)| known != lease);
        self.wanted.notify_one();
    }

    /// Look, for as long as any lease leads here; what was seen last is kept for the next.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            let login = self.logins.read().first().cloned();
            let Some((lease, upstream)) = login else {
                // Nobody is there who could look; whoever comes first wants it fresh.
                self.seen.send_modify(|seen| seen.at = None);
                self.wanted.notified().await;
                continue;
            };
            self.look_with(&lease, &upstream).await;
            // The session ended: perhaps its lease did. The others first.
            {
                let mut logins = self.logins.write();
                if logins.len() > 1 {
                    logins.rotate_left(1);
                }
            }
            sleep(AT_LEAST).await;
        }
    }

    /// Look with one session until it ends, or its lease leads here no more.
    async fn look_with(&self, lease: &str, upstream: &Upstream) {
        let Ok(Ok(mut console)) = timeout(LOOK, Console::connect(upstream)).await else { return };
        while self.logins.read().iter().any(|(known, _)| known == lease) {
            let Ok(Ok(version)) = timeout(LOOK, console.text(VERSION_SQL)).await else { return };
            let same = self.seen.borrow().known.as_ref().is_some_and(|known| known.version == version);
            if !same {
                let Ok(Ok(json)) = timeout(READING, console.text(SNAPSHOT_SQL)).await else { return };
                let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
                let Ok(snapshot) = Snapshot::read(&json, &path) else { return };
                // What changed while it was read is in neither state: read again.
                let Ok(Ok(after)) = timeout(LOOK, console.text(VERSION_SQL)).await else { return };
                if after != version {
                    continue;
                }
                self.saw(Known::new(version, snapshot));
            }
            self.looked();
            sleep(AT_LEAST).await;
            let _ = timeout(EVERY, self.wanted.notified()).await;
        }
    }

    fn saw(&self, known: Known) {
        self.seen.send_modify(|seen| seen.known = Some(Arc::new(known)));
    }

    fn looked(&self) {
        self.seen.send_modify(|seen| {
            seen.at = Some(Instant::now());
            seen.looks += 1;
        });
    }

    /// What a judged statement does, by the catalog as it is now: told already where it was judged by this very state,
    /// else judged anew.
    pub(crate) async fn in_force<'a>(&self, judged: &'a Judged) -> Result<Cow<'a, Judged>, Refusal> {
        let (known, _) = self.fresh(0).await?;
        if known.number == judged.catalog() {
            return Ok(Cow::Borrowed(judged));
        }
        self.judge(judged.sql()).await.map(Cow::Owned)
    }

    /// What a statement does, by the catalog as it is now.
    pub(crate) async fn judge(&self, sql: &str) -> Result<Judged, Refusal> {
        let (known, looks) = self.fresh(0).await?;
        let judged = known.judge(sql, &self.policy);
        let absent = |no: &Refusal| {
            matches!(no.reason, Reason::UnknownRelation | Reason::UnknownColumn | Reason::UnknownFunction)
        };
        match judged {
            // It may have been made a moment ago.
            Err(no) if absent(&no) => {
                self.wanted.notify_one();
                // One look may be under way that began before the statement came.
                let (newer, _) = self.fresh(looks + 2).await?;
                if newer.version == known.version { Err(no) } else { newer.judge(sql, &self.policy) }
            }
            judged => judged,
        }
    }

    /// The catalog's state, after at least so many looks.
    async fn fresh(&self, looks: u64) -> Result<(Arc<Known>, u64), Refusal> {
        let ready = |seen: &Seen| {
            let fresh = seen.at.is_some_and(|at| at.elapsed() < STALE);
            if seen.looks < looks {
                self.wanted.notify_one();
            }
            fresh && seen.looks >= looks && seen.known.is_some()
        };
        {
            let seen = self.seen.borrow();
            if ready(&seen)
                && let Some(known) = &seen.known
            {
                return Ok((Arc::clone(known), seen.looks));
            }
        }
        self.wanted.notify_one();
        let mut receiver = self.seen.subscribe();
        let stale = || Refusal::new(Reason::CatalogStale, "");
        let seen =
            timeout(PATIENCE, receiver.wait_for(ready)).await.map_err(|_| stale())?.map_err(|_| stale())?.clone();
        Ok((seen.known.ok_or_else(stale)?, seen.looks))
    }
}

impl Known {
    fn new(version: String, snapshot: Snapshot) -> Self {
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), version, snapshot, judged: Mutex::default() }
    }

    fn judge(&self, sql: &str, policy: &Policy) -> Result<Judged, Refusal> {
        // What is longer than the policy lets pass is refused for that, whatever its shape.
        if sql.len() <= LONGEST_JUDGED.min(policy.limits.bytes)
            && let Some(shape) = Shape::of(sql)
            && let Ok(judgement) = self.judgement(&shape.sql, policy)
            && shape.fits(&judgement)
        {
            return Ok(Judged::new(sql, judgement, self.number).with_literals(shape.literals));
        }
        self.judgement(sql, policy).map(|judgement| Judged::new(sql, judgement, self.number))
    }

    fn judgement(&self, sql: &str, policy: &Policy) -> Judging {
        if let Some(judged) = self.judged.lock().all.get(sql) {
            return judged.clone();
        }
        let judged = judge(sql, &self.snapshot, policy).map(Arc::new);
        if sql.len() <= LONGEST_JUDGED {
            self.judged.lock().keep(sql, &judged);
        }
        judged
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::{Database, Known, LONGEST_JUDGED, STALE};
    use flyball_pgsql::{Policy, Reason, Snapshot, Source};
    use std::sync::Arc;
    use tokio::time::Instant;

    const ORDERS: &str = r#"{"oid": 16400, "schema": "public", "name": "orders", "kind": "r", "columns": ["id"]}"#;
    const CUSTOMERS: &str =
        r#"{"oid": 16401, "schema": "public", "name": "customers", "kind": "r", "columns": ["id"]}"#;

    fn state(version: &str, relations: &[&str]) -> Known {
        let relations = relations.join(",");
        let json = format!(
            r#"{{"database": "shop", "functions": [], "operators": [], "types": [], "relations": [{relations}]}}"#
        );
        Known::new(version.to_owned(), Snapshot::read(&json, &["public"]).unwrap())
    }

    fn database(known: Known) -> Arc<Database> {
        let database = Database::new("orders", Policy::default(), &["public".to_owned()]);
        database.saw(known);
        database.looked();
        database
    }

    /// Longer than what is remembered, so that each judgement of it parses it.
    fn long() -> String {
        format!("SELECT id FROM orders /* {} */", "x".repeat(LONGEST_JUDGED))
    }

    /// A statement that is decided by the state it was judged by is not judged again, however long it is.
    #[tokio::test]
    async fn one_state_judges_once() {
        let database = database(state("1", &[ORDERS]));
        let judged = database.judge(&long()).await.unwrap();
        let again = database.judge(&long()).await.unwrap();
        assert!(!Arc::ptr_eq(judged.judgement(), again.judgement()), "it is remembered: this shows nothing");
        database.looked();
        assert!(Arc::ptr_eq(judged.judgement(), database.in_force(&judged).await.unwrap().judgement()));
    }

    /// What comes again is judged once more, then never again by the same state.
    #[tokio::test]
    async fn what_comes_again_is_remembered() {
        let database = database(state("1", &[ORDERS]));
        let mut came = Vec::new();
        for _ in 0..3 {
            came.push(database.judge("SELECT id FROM orders").await.unwrap());
        }
        let [first, second, third] = came.as_slice() else { panic!("three came") };
        assert!(!Arc::ptr_eq(first.judgement(), second.judgement()), "it is remembered at once");
        assert!(Arc::ptr_eq(second.judgement(), third.judgement()));
    }

    /// Statements that differ in what they compare with share one judgement, and each has its own constants.
    #[tokio::test]
    async fn one_judgement_for_a_shape() {
        let database = database(state("1", &[ORDERS]));
        let of = |id: u32| format!("SELECT id FROM orders WHERE id = {id} AND id <> 'x{id}'");
        let mut came = Vec::new();
        for id in 1..4 {
            came.push(database.judge(&of(id)).await.unwrap());
        }
        let [_, second, third] = came.as_slice() else { panic!("three came") };
        assert!(Arc::ptr_eq(second.judgement(), third.judgement()));
        assert_eq!(second.literals(), [Source::Number("2".to_owned()), Source::Text("x2".to_owned())]);
        assert_eq!(third.literals(), [Source::Number("3".to_owned()), Source::Text("x3".to_owned())]);
        assert_eq!(third.sql(), of(3));
    }

    /// A statement is as long as it is, however short its shape; and it is refused as it stands.
    #[tokio::test]
    async fn refused_as_it_stands() {
        let mut policy = Policy::default();
        policy.limits.bytes = 60;
        let database = Database::new("orders", policy, &["public".to_owned()]);
        database.saw(state("1", &[ORDERS]));
        database.looked();
        let of = |text: &str| format!("SELECT id FROM orders WHERE id = '{text}'");
        for _ in 0..3 {
            database.judge(&of("short")).await.unwrap();
            let long = database.judge(&of(&"x".repeat(60))).await.unwrap_err();
            assert_eq!(long.reason, Reason::TooLong);
            assert_eq!(
                database.judge("SELECT id INTO o FROM orders WHERE id = 5").await.unwrap_err().reason,
                Reason::Ddl
            );
        }
    }

    /// Where the definitions changed after it was judged, it is what they make of it now, or refused.
    #[tokio::test]
    async fn another_state_judges_anew() {
        let view = r#"{"oid": 16400, "schema": "public", "name": "orders", "kind": "v", "columns": ["id"],
            "definition": "SELECT customers.id FROM public.customers"}"#;
        let database = database(state("1", &[ORDERS, CUSTOMERS]));
        let judged = database.judge("SELECT id FROM orders").await.unwrap();
        let tables = |judgement: &flyball_pgsql::Judgement| {
            let all = judgement.tables.keys().map(|touch| touch.table.to_string());
            all.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(tables(judged.judgement()), ["public.orders"]);
        database.saw(state("2", &[view, CUSTOMERS]));
        assert_eq!(
            tables(database.in_force(&judged).await.unwrap().judgement()),
            ["public.customers", "public.orders"]
        );
        // The same definitions again are another state, too: what was judged by the first is told anew.
        database.saw(state("1", &[ORDERS, CUSTOMERS]));
        assert_eq!(tables(database.in_force(&judged).await.unwrap().judgement()), ["public.orders"]);
        database.saw(state("3", &[CUSTOMERS]));
        database.looked();
        let gone = async { database.in_force(&judged).await.map(|_| ()) };
        let seen = async {
            tokio::task::yield_now().await;
            database.looked();
            database.looked();
        };
        let (gone, ()) = tokio::join!(gone, seen);
        assert_eq!(gone.unwrap_err().reason, Reason::UnknownRelation);
    }

    /// No state is in force that nobody has looked at lately, also for what was judged by it.
    #[tokio::test]
    async fn a_stale_state_judges_nothing() {
        let database = database(state("1", &[ORDERS]));
        let judged = database.judge("SELECT id FROM orders").await.unwrap();
        database.seen.send_modify(|seen| seen.at = Instant::now().checked_sub(STALE));
        assert_eq!(database.in_force(&judged).await.unwrap_err().reason, Reason::CatalogStale);
    }
}
