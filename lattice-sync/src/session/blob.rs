//! Code by content id: its length first, hashed as it comes.

use lattice_meta::{Cid, CidHash};
use sha2::{Digest, Sha256};

use crate::convert::to_u64;
use crate::event::{BlobFault, Event};
use crate::host::Request;
use crate::session::{Effects, Pending, Session, Stage, Violation};
use crate::wire::{BlobAnswer, BlobAsk, Frame, PART_BYTES};

/// What is fetched from the peer, and what it fetches.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    fetch: Option<Fetch>,
    served: Option<BlobAsk>,
}

#[derive(Debug)]
struct Fetch {
    cid: Cid,
    max_bytes: u64,
    length: Option<u64>,
    got: u64,
    hasher: Hasher,
}

#[derive(Debug)]
enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(Sha256),
}

impl Hasher {
    fn of(cid: &Cid) -> Option<Self> {
        match cid.hash() {
            CidHash::Blake3 => Some(Self::Blake3(Box::default())),
            CidHash::Sha256 => Some(Self::Sha256(Sha256::new())),
            _ => None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Self::Sha256(hasher) => Digest::update(hasher, bytes),
        }
    }

    fn is_of(&self, cid: &Cid) -> bool {
        match self {
            Self::Blake3(hasher) => hasher.finalize() == *cid.digest(),
            Self::Sha256(hasher) => hasher.clone().finalize()[..] == *cid.digest(),
        }
    }
}

impl Session {
    /// Asks the peer for a blob.
    pub(crate) fn fetch(&mut self, fx: &mut Effects<'_>, cid: Cid, max_bytes: u64) {
        let hasher = Hasher::of(&cid).filter(|_| self.stage == Stage::Open);
        match hasher.filter(|_| self.blobs.fetch.is_none()) {
            Some(hasher) => {
                self.blobs.fetch = Some(Fetch {
                    cid,
                    max_bytes,
                    length: None,
                    got: 0,
                    hasher,
                });
                self.ask_part(fx, cid, 0);
            }
            None => self.fail_blob(fx, cid, BlobFault::NotThere),
        }
    }

    fn ask_part(&self, fx: &mut Effects<'_>, cid: Cid, offset: u64) {
        let channel = self.channel;
        fx.send(Frame::BlobAsk(BlobAsk {
            channel,
            cid,
            offset,
        }));
    }

    fn fail_blob(&self, fx: &mut Effects<'_>, cid: Cid, why: BlobFault) {
        let session = self.id;
        fx.event(Event::BlobFailed { session, cid, why });
    }

    /// The session is over.
    pub(super) fn cut_blob(&mut self, fx: &mut Effects<'_>) {
        if let Some(fetch) = self.blobs.fetch.take() {
            self.fail_blob(fx, fetch.cid, BlobFault::Cut);
        }
    }

    pub(super) fn on_blob_part(
        &mut self,
        fx: &mut Effects<'_>,
        part: BlobAnswer,
    ) -> Result<(), Violation> {
        let is_asked = |fetch: &mut Fetch| part.cid == fetch.cid && part.offset == fetch.got;
        let is_part = part.bytes.len() <= PART_BYTES;
        let Some(mut fetch) = self.blobs.fetch.take_if(|fetch| is_part && is_asked(fetch)) else {
            return Err("a part of a blob is not the one that was asked for");
        };
        let cid = fetch.cid;
        let Some(length) = part.length else {
            self.fail_blob(fx, cid, BlobFault::NotThere);
            return Ok(());
        };
        if length > fetch.max_bytes {
            self.fail_blob(fx, cid, BlobFault::TooLong { length });
            return Ok(());
        }
        let got = fetch.got.saturating_add(to_u64(part.bytes.len()));
        let is_other_length = fetch.length.is_some_and(|first| first != length);
        let is_short = part.bytes.is_empty() && got < length;
        if is_other_length || is_short || got > length {
            self.fail_blob(fx, cid, BlobFault::Length);
            return Ok(());
        }
        fetch.length = Some(length);
        fetch.got = got;
        fetch.hasher.update(&part.bytes);
        let session = self.id;
        if !part.bytes.is_empty() {
            let bytes = part.bytes;
            fx.event(Event::BlobPart {
                session,
                cid,
                bytes,
            });
        }
        if got < length {
            self.ask_part(fx, cid, got);
            self.blobs.fetch = Some(fetch);
        } else if fetch.hasher.is_of(&cid) {
            fx.event(Event::BlobWhole { session, cid });
        } else {
            self.fail_blob(fx, cid, BlobFault::Hash);
        }
        Ok(())
    }

    pub(super) fn on_blob_ask(&mut self, ask: &BlobAsk) -> Result<(), Violation> {
        if self.blobs.served.is_some() {
            return Err("a part of a blob was asked for before the last one was answered");
        }
        self.blobs.served = Some(*ask);
        Ok(())
    }

    /// Whether the peer waits for a part that is not read yet.
    pub(crate) fn wants_blob(&self) -> bool {
        self.blobs.served.is_some() && !self.is_asking(|pending| *pending == Pending::Blob)
    }

    /// Reads the part that the peer has asked for. Called when the connection has room: a peer that
    /// asks and does not read would fill the memory.
    pub(crate) fn read_blob(&mut self, fx: &mut Effects<'_>) {
        if let Some(ask) = self.blobs.served {
            let request = Request::Blob {
                cid: ask.cid,
                offset: ask.offset,
                max_bytes: PART_BYTES,
            };
            self.ask(fx, Pending::Blob, request);
        }
    }

    pub(super) fn on_blob(&mut self, fx: &mut Effects<'_>, length: Option<u64>, bytes: Vec<u8>) {
        if let Some(ask) = self.blobs.served.take() {
            fx.send(Frame::BlobPart(BlobAnswer {
                channel: self.channel,
                cid: ask.cid,
                length,
                offset: ask.offset,
                bytes,
            }));
        }
    }
}
