//! The suite that finds work which is not bounded by the size of the ops that were sent.

mod forge;

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::{MemoryBackend, StateBackend};
use crate::clock::ManualClock;
use crate::conformance::broke::broke;
use crate::conformance::{CountingBackend, Work};
use crate::engine::Engine;
use crate::engine::ingest::{Authors, Outcome};
use crate::engine::open::OpenRequest;
use crate::machine::StateMachine;
use crate::op::Op;

pub use forge::Forge;

/// Later than all ops, so that no op has a timestamp in the future.
const LATE_MS: u64 = 3_400_000_000_000;
/// The greatest allowed growth of the work per op in a history eight times as long, in tenths.
const MOST_GROWTH: u64 = 13;

/// The ops of a shape: first those that prepare it, then those whose cost is counted.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// Ops that are ingested before counting starts.
    pub before: Vec<Op>,
    /// Ops whose cost is counted, in the order of ingestion.
    pub counted: Vec<Op>,
    /// The number of ops per call of [`Engine::ingest`]; 0 means 1.
    pub batch: usize,
}

/// A history that a malicious author could send, in any size.
pub struct Shape<'a> {
    name: &'a str,
    base: usize,
    rows_per_op: u64,
    bytes_per_byte: u64,
    build: Build<'a>,
}

/// Builds a delivery of a given size.
type Build<'a> = Box<dyn Fn(&mut Forge, usize) -> Delivery + 'a>;

impl<'a> Shape<'a> {
    /// A shape that `build` makes in a given size. The caller must set its limits with
    /// [`limits`](Self::limits).
    pub fn new(name: &'a str, build: impl Fn(&mut Forge, usize) -> Delivery + 'a) -> Self {
        Self {
            name,
            base: 64,
            rows_per_op: 0,
            bytes_per_byte: 0,
            build: Box::new(build),
        }
    }

    /// The smallest size; the suite also tries 2, 4 and 8 times that. The default is 64.
    #[must_use]
    pub fn base(mut self, base: usize) -> Self {
        self.base = base;
        self
    }

    /// Limits for all sizes: rows read and written per op, and bytes read, hashed and written per
    /// byte of ops.
    #[must_use]
    pub fn limits(mut self, rows_per_op: u64, bytes_per_byte: u64) -> Self {
        self.rows_per_op = rows_per_op;
        self.bytes_per_byte = bytes_per_byte;
        self
    }
}

impl fmt::Debug for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shape")
            .field("name", &self.name)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// The cost of a shape's ops at one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// The size.
    pub size: usize,
    /// Ops sent.
    pub ops: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Rows read and written for them.
    pub rows: u64,
    /// Bytes read, hashed and written for them.
    pub bytes: u64,
}

/// The measured costs of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The shape's name.
    pub name: String,
    /// The costs at the base size, and at 2, 4 and 8 times that.
    pub costs: [Cost; 4],
}

/// A ratio, formatted with two decimals without floating point.
struct Ratio(u64, u64);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = u128::from(self.0) * 100 / u128::from(self.1.max(1));
        f.pad(&format!("{}.{:02}", hundredths / 100, hundredths % 100))
    }
}

/// Whether `last / last_of` is more than 1.3 times `first / first_of`.
fn has_grown(first: u64, first_of: u64, last: u64, last_of: u64) -> bool {
    let wide = u128::from;
    wide(last) * wide(first_of) * 10 > wide(first) * wide(last_of) * wide(MOST_GROWTH)
}

impl Found {
    fn ends(&self) -> (&Cost, &Cost) {
        let [first, .., last] = &self.costs;
        (first, last)
    }

    /// Which costs exceed their limits.
    fn faults(&self, shape: &Shape<'_>) -> Vec<String> {
        let (first, last) = self.ends();
        let mut faults = Vec::new();
        if has_grown(first.rows, first.ops, last.rows, last.ops) {
            faults.push("rows an op grow with the history".to_owned());
        }
        if has_grown(first.bytes, first.sent_bytes, last.bytes, last.sent_bytes) {
            faults.push("bytes a byte grow with the history".to_owned());
        }
        for cost in &self.costs {
            if cost.rows > shape.rows_per_op.saturating_mul(cost.ops) {
                let rows = shape.rows_per_op;
                faults.push(format!("more than {rows} rows an op at {}", cost.size));
            }
            if cost.bytes > shape.bytes_per_byte.saturating_mul(cost.sent_bytes) {
                let bytes = shape.bytes_per_byte;
                faults.push(format!("more than {bytes} bytes a byte at {}", cost.size));
            }
        }
        faults
    }
}

/// One line: rows per op and bytes per byte at the smallest and the greatest size.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.ends();
        write!(
            f,
            "{:<40} {:>5} to {:>5}: rows an op {:>7} to {:>7}, bytes a byte {:>6} to {:>6}",
            self.name,
            first.size,
            last.size,
            Ratio(first.rows, first.ops),
            Ratio(last.rows, last.ops),
            Ratio(first.bytes, first.sent_bytes),
            Ratio(last.bytes, last.sent_bytes),
        )
    }
}

/// Counts a store's work on hostile histories of sizes n, 2n, 4n and 8n. Over these sizes, the rows
/// read and written per op, and the bytes per byte, may grow by at most a factor of 1.3, and must
/// stay within each shape's limits. Nothing is timed.
///
/// Shapes for all state machines (forks, chains, pending ops) come from [`Forge`]; the author of a
/// store type adds shapes that payloads can cause.
///
/// ```no_run
/// # use lattice_backend::conformance::{CostSuite, Delivery, Shape};
/// # use lattice_backend::machine::StateMachine;
/// # fn example<M: StateMachine>(machine: fn() -> M, payload: fn(usize) -> Vec<u8>) {
/// let flood = Shape::new("a flood", |forge, size| Delivery {
///     counted: (0..size).map(|nth| forge.next_op(1, &payload(nth))).collect(),
///     ..Delivery::default()
/// });
/// for found in CostSuite::new(machine).shape(flood.limits(16, 20)).run() {
///     println!("{found}");
/// }
/// # }
/// ```
pub struct CostSuite<'a, M: StateMachine> {
    make: Box<dyn Fn() -> M + 'a>,
    backend: Box<dyn Fn() -> Arc<dyn StateBackend> + 'a>,
    shapes: Vec<Shape<'a>>,
}

impl<M: StateMachine> fmt::Debug for CostSuite<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CostSuite")
            .field("shapes", &self.shapes)
            .finish_non_exhaustive()
    }
}

impl<'a, M: StateMachine> CostSuite<'a, M> {
    /// A suite without shapes, with stores in memory.
    pub fn new(make: impl Fn() -> M + 'a) -> Self {
        Self {
            make: Box::new(make),
            backend: Box::new(|| Arc::new(MemoryBackend::new())),
            shapes: Vec::new(),
        }
    }

    /// Uses another backend, a fresh one for each store.
    #[must_use]
    pub fn backend(mut self, backend: impl Fn() -> Arc<dyn StateBackend> + 'a) -> Self {
        self.backend = Box::new(backend);
        self
    }

    /// Adds a shape.
    #[must_use]
    pub fn shape(mut self, shape: Shape<'a>) -> Self {
        self.shapes.push(shape);
        self
    }

    /// Tries all shapes, and returns their costs.
    ///
    /// # Panics
    /// If a shape exceeds a limit; the message names it, and lists all counts.
    pub fn run(self) -> Vec<Found> {
        let mut all = Vec::new();
        let mut broken = Vec::new();
        for shape in &self.shapes {
            match self.try_shape(shape) {
                Ok(found) => {
                    let faults = found.faults(shape).into_iter();
                    broken.extend(faults.map(|fault| format!("{}: {fault}", shape.name)));
                    all.push(found);
                }
                Err(message) => broken.push(format!("{}: {message}", shape.name)),
            }
        }
        if !broken.is_empty() {
            let counts: Vec<_> = all.iter().map(ToString::to_string).collect();
            panic!(
                "the work of {} is not bounded by what was sent:\n  {}\ncounts:\n  {}",
                (self.make)().logic().store_type(),
                broken.join("\n  "),
                counts.join("\n  ")
            );
        }
        all
    }

    fn try_shape(&self, shape: &Shape<'_>) -> Result<Found, String> {
        let cost = |times| self.cost(shape, times * shape.base);
        Ok(Found {
            name: shape.name.to_owned(),
            costs: [cost(1)?, cost(2)?, cost(4)?, cost(8)?],
        })
    }

    fn cost(&self, shape: &Shape<'_>, size: usize) -> Result<Cost, String> {
        let machine = (self.make)();
        let mut forge = Forge::for_store(machine.logic().store_type().clone());
        let delivery = (shape.build)(&mut forge, size);
        let backend = CountingBackend::new((self.backend)());
        let path = PathBuf::from("state.db");
        Engine::create(&backend, &path, forge.genesis(), &machine)
            .map_err(|error| broke("creating", &error))?;
        let mut request = OpenRequest::new(Arc::new(backend.clone()), path);
        request.clock = Arc::new(ManualClock::new(LATE_MS));
        let engine = Engine::open(request, machine).map_err(|error| broke("opening", &error))?;
        take_in(&engine, &delivery.before, 1024)?;
        let (work, hashed) = (backend.work(), engine.hashed().1);
        take_in(&engine, &delivery.counted, delivery.batch.max(1))?;
        let Work {
            rows_read,
            bytes_read,
            rows_written,
            bytes_written,
        } = backend.work().since(work);
        let hashed = engine.hashed().1 - hashed;
        let sent = delivery.counted.iter().map(|op| op.bytes().len()).sum();
        Ok(Cost {
            size,
            ops: count(delivery.counted.len()),
            sent_bytes: count(sent),
            rows: rows_read + rows_written,
            bytes: bytes_read + bytes_written + hashed,
        })
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).expect("what is in memory can be counted")
}

/// Ingests ops in batches.
fn take_in<M: StateMachine>(engine: &Engine<M>, ops: &[Op], batch: usize) -> Result<(), String> {
    for ops in ops.chunks(batch) {
        let bytes = ops
            .iter()
            .map(|op| Ok::<_, Infallible>(op.bytes().to_vec()));
        let report = engine
            .ingest(bytes, &Authors::Any)
            .map_err(|error| broke("ingest", &error))?;
        if let Some((_, rejection)) = report.rejected().next() {
            return Err(broke("ingest of an op that keeps all rules", rejection));
        }
        if report.held() > 0 {
            let reasons = report
                .outcomes
                .iter()
                .filter_map(|(_, outcome)| match outcome {
                    Outcome::Held { reason } => Some(reason.to_string()),
                    _ => None,
                });
            let reason = reasons.take(1).collect::<String>();
            return Err(format!("the store holds an op: {reason}"));
        }
    }
    Ok(())
}
