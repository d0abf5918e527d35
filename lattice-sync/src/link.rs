//! A connection: who is there, and what belongs to which session.

use std::collections::BTreeMap;

use lattice_meta::PubKey;

use crate::finds::Finds;
use crate::host::{SessionId, Side, Time};
use crate::wire::{FEATURE_FIND, FrameReader, Hello};

/// Bytes of a frame that has begun which must come within the time of a stall.
pub(crate) const STALL_BYTES: u64 = 16 << 10;

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) side: Side,
    pub(crate) expected: Option<PubKey>,
    pub(crate) reader: FrameReader,
    pub(crate) own: Hello,
    pub(crate) hello: Option<Hello>,
    pub(crate) channels: BTreeMap<u32, SessionId>,
    next_channel: u32,
    /// The greatest channel that the peer has opened.
    pub(crate) opened: u32,
    pub(crate) finds: Finds,
    /// Bytes that the host has and has not sent.
    pub(crate) unsent: usize,
    /// The session that read last.
    pub(crate) turn: SessionId,
    pub(crate) since: Time,
    heard: Time,
    /// When the frame that is coming in began, or last got enough bytes; and the bytes since then.
    stalled: Option<(Time, u64)>,
}

impl Link {
    pub(crate) fn new(side: Side, expected: Option<PubKey>, own: Hello, now: Time) -> Self {
        Self {
            side,
            expected,
            reader: FrameReader::new(),
            own,
            hello: None,
            channels: BTreeMap::new(),
            next_channel: match side {
                Side::Dialled => 1,
                Side::Accepted => 2,
            },
            opened: 0,
            finds: Finds::default(),
            unsent: 0,
            turn: SessionId(0),
            since: now,
            heard: now,
            stalled: None,
        }
    }

    /// Whether both sides ask for stores, once the peer has greeted.
    pub(crate) fn has_finds(&self) -> Option<bool> {
        let hello = self.hello.as_ref()?;
        Some(self.own.features & hello.features & FEATURE_FIND != 0)
    }

    /// A channel that this side opens.
    pub(crate) const fn new_channel(&mut self) -> u32 {
        let channel = self.next_channel;
        self.next_channel += 2;
        channel
    }

    /// Whether the peer may open this channel now: its own numbers, ascending.
    pub(crate) const fn may_open(&self, channel: u32) -> bool {
        let odd = matches!(self.side, Side::Accepted);
        (channel % 2 == 1) == odd && channel > self.opened
    }

    /// Bytes have come.
    pub(crate) fn hear(&mut self, now: Time, bytes: u64) {
        self.heard = now;
        if let Some((since, count)) = &mut self.stalled {
            *count = count.saturating_add(bytes);
            if *count >= STALL_BYTES {
                (*since, *count) = (now, 0);
            }
        }
    }

    /// All complete frames were taken; `has_frame`: at least one.
    pub(crate) fn took_frames(&mut self, now: Time, has_frame: bool) {
        if !self.reader.is_within_frame() {
            self.stalled = None;
        } else if has_frame || self.stalled.is_none() {
            self.stalled = Some((now, 0));
        }
    }

    /// When the peer counts as gone if nothing happens.
    pub(crate) fn deadline(&self, config: &crate::config::Config) -> Time {
        let silence = self.heard.after(config.dead_ms);
        let hello = self
            .hello
            .is_none()
            .then(|| self.since.after(config.hello_ms));
        let stall = self.stalled.map(|(since, _)| since.after(config.stall_ms));
        hello.into_iter().chain(stall).fold(silence, Time::min)
    }
}

/// Which of two connections to the same process stays: `Less` for the first one.
pub(crate) fn rival(
    own: &PubKey,
    first: &Link,
    second: &Link,
    later_ms: u64,
) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let dialler = |link: &Link| match (link.side, &link.hello) {
        (Side::Accepted, Some(hello)) => (hello.peer, hello.instance, hello.attempt),
        _ => (*own, link.own.instance, link.own.attempt),
    };
    let (one, other) = (dialler(first), dialler(second));
    if (one.0, one.1) == (other.0, other.1) {
        // One side dialled both: it gave up the older one.
        return other.2.cmp(&one.2);
    }
    let (early, late) = (first.since.min(second.since), first.since.max(second.since));
    if late.since(early) > later_ms {
        // Not at the same time: the older connection is dead for the side that dialled again.
        return second.since.cmp(&first.since);
    }
    match (one.0, one.1) < (other.0, other.1) {
        true => Ordering::Less,
        false => Ordering::Greater,
    }
}
