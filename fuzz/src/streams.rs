//! Targets for what a peer sends.

use lattice_backend::op::{OpsEnd, ReplicaView};
use lattice_meta::{GenesisHash, PubKey, StateHash};
use lattice_sync::host::{
    Answer, ConnId, Ingested, Input, Loaded, Mode, Output, Request, Side, Standing, Time,
};
use lattice_sync::wire::{Frame, FrameReader};
use lattice_sync::{Config, Core};

/// Reads the input as a stream, in two ways. A frame that decodes encodes to the bytes that it came
/// from; a stream that is cut into pieces has the same frames.
pub(crate) fn stream(bytes: &[u8]) {
    let whole = frames(bytes, bytes.len().max(1));
    assert_eq!(whole, frames(bytes, 3), "pieces change what is read");
    for frame in whole {
        let encoded = frame.encode();
        assert_eq!(frames(&encoded, encoded.len()), [frame]);
    }
}

fn frames(bytes: &[u8], piece: usize) -> Vec<Frame> {
    let mut reader = FrameReader::new();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        assert!(reader.buffered() <= bytes.len(), "more than there was");
        while let Ok(Some(frame)) = reader.next_frame() {
            frames.push(frame);
        }
    }
    frames
}

/// Hands the input to a core as what a peer sends, over a store that answers every question.
pub(crate) fn session(bytes: &[u8]) {
    let conn = ConnId(1);
    let mut core = Core::new(Config::new(PubKey::from_bytes([1; 32])), [7; 32]);
    let side = Side::Accepted;
    let mut inputs = vec![Input::Connected {
        conn,
        side,
        peer: None,
    }];
    let store = GenesisHash::from_bytes([9; 32]);
    let mode = Mode::BOTH;
    inputs.push(Input::Sync { conn, store, mode });
    let name = "name".to_owned();
    inputs.push(Input::Find { conn, name });
    for piece in bytes.chunks(97) {
        let bytes = piece.to_vec();
        inputs.push(Input::Received { conn, bytes });
    }
    inputs.reverse();
    let mut now = 0;
    let mut asked = 0;
    while let Some(input) = inputs.pop() {
        now += 1;
        for output in core.on_input(Time::from_ms(now), input) {
            let answer = match output {
                Output::Ask {
                    ticket, request, ..
                } => {
                    let answer = answer(&request);
                    Input::Answer { ticket, answer }
                }
                Output::Find { conn, number, .. } => {
                    let record = Some(vec![7; 9]);
                    Input::Known {
                        conn,
                        number,
                        record,
                    }
                }
                _ => continue,
            };
            asked += 1;
            assert!(asked < 10 * (bytes.len() + 10), "questions without end");
            inputs.push(answer);
        }
        assert!(core.buffered() <= u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }
}

/// The answers of a store without ops.
fn answer(request: &Request) -> Answer {
    let view = ReplicaView {
        end: OpsEnd::default(),
        held: 0,
        tips: [].into(),
        state: StateHash::from_bytes([0; 32]),
    };
    match request {
        Request::Load { .. } => Answer::Loaded(Box::new(Loaded {
            view,
            mine: None,
            served: None,
            mode: Mode::BOTH,
        })),
        Request::View => Answer::View(view),
        Request::TipsSince { .. } => Answer::Tips {
            tips: Vec::new(),
            place: OpsEnd::default(),
        },
        Request::Weigh { tips } => Answer::Weighed {
            standing: vec![Standing::Lacking; tips.len()],
            known: Vec::new(),
        },
        Request::Plan { .. } => Answer::Planned { ops: 0, bytes: 0 },
        Request::ReadPlan { .. } | Request::Read { .. } => Answer::Slice {
            ops: Vec::new(),
            next: 0,
            last: true,
        },
        Request::Ingest { ops, .. } => Answer::Ingested(Box::new(Ingested {
            waiting: u64::try_from(ops.len()).unwrap_or(u64::MAX),
            ..Ingested::default()
        })),
        Request::Blob { .. } => Answer::Blob {
            length: None,
            bytes: Vec::new(),
        },
        Request::Trace { at } => Answer::Traced {
            ops: 2,
            hashes: vec![[0; 16]; at.len()],
        },
    }
}
