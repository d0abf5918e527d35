//! The payload of an op of a registry.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use lattice_backend::machine::Invalid;
use lattice_backend::op::MAX_OP_BYTES;
use lattice_meta::{StoreType, codec};
use serde::{Deserialize, Serialize};

use crate::releases::claim::{CidBytes, Claim};
use crate::releases::{ReleaseCommand, ReleaseRefusal, Withdraw};

/// The only known format of a payload.
const FORMAT: u8 = 1;

/// A payload as it is encoded. It is valid if and only if the format is known, the encoding is
/// canonical, the store type and the content ids are well formed, and [`ReleaseCommand::check`]
/// accepts it.
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    format: u8,
    #[serde(borrow)]
    command: Command<'a>,
}

#[derive(Serialize, Deserialize)]
enum Command<'a> {
    Publish {
        store_type: StoreType,
        release: u64,
        #[serde(borrow)]
        claim: Claim<'a>,
    },
    Withdraw {
        cid: CidBytes,
        reason: &'a str,
    },
}

/// Encodes a command.
///
/// # Errors
/// [`ReleaseRefusal`] if no payload can hold it.
pub fn encode_payload(command: &ReleaseCommand) -> Result<Vec<u8>, ReleaseRefusal> {
    command.check()?;
    let command = match command {
        ReleaseCommand::Publish(publish) => Command::Publish {
            store_type: publish.store_type.clone(),
            release: publish.release,
            claim: Claim::of(publish),
        },
        ReleaseCommand::Withdraw(withdraw) => Command::Withdraw {
            cid: CidBytes(withdraw.cid),
            reason: &withdraw.reason,
        },
    };
    let payload = Payload {
        format: FORMAT,
        command,
    };
    Ok(codec::encode(&payload).expect("a payload is made of types that the codec supports"))
}

/// Decodes a payload.
///
/// # Errors
/// [`Invalid`] if the bytes are not a payload: such an op has no effect on any replica.
pub fn decode_payload(payload: &[u8]) -> Result<ReleaseCommand, Invalid> {
    // A later format may have a different layout, so the format is checked first.
    match payload.first() {
        Some(&FORMAT) => {}
        Some(found) => {
            let reason = format!("expected payload format {FORMAT}, found {found}");
            return Err(Invalid::new(reason));
        }
        None => return Err(Invalid::new("expected a payload, found no bytes")),
    }
    let Payload { command, .. } = codec::decode(payload, MAX_OP_BYTES)
        .map_err(|error| Invalid::new(format!("not the encoding of a payload: {error}")))?;
    let command = match command {
        Command::Publish {
            store_type,
            release,
            claim,
        } => ReleaseCommand::Publish(claim.of_release(store_type, release)),
        Command::Withdraw { cid, reason } => ReleaseCommand::Withdraw(Withdraw {
            cid: cid.0,
            reason: reason.to_string(),
        }),
    };
    let checked = command.check();
    checked.map_err(|refusal| Invalid::new(refusal.to_string()))?;
    Ok(command)
}
