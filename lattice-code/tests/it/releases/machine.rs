//! The logic of registries: its description, its refusals, and what it says about payloads.

use lattice_backend::machine::{MachineError, StateMachine};
use lattice_code::releases::{
    MAX_MODULE_BYTES, MAX_NOTES_BYTES, Publish, ReleaseCommand, ReleaseMachine, ReleaseRefusal,
    encode_payload,
};
use lattice_meta::SchemaVersion;

use super::support::{CHAT, MapData, NoHistory, cid, publish, withdraw};

#[test]
fn the_logic_has_its_type_version_and_schemas() {
    let machine = ReleaseMachine::new();
    let logic = machine.logic();
    assert_eq!(logic.store_type().as_str(), "core:registry");
    assert_eq!(logic.version().as_str(), "core:registry/1");
    assert_eq!(logic.oldest_schema(), SchemaVersion::new(1));
    assert_eq!(logic.newest_schema(), SchemaVersion::new(1));
    assert_eq!(logic.equals(), []);
}

/// A release can name every module that the host accepts. The limits differ, because the validity
/// of a payload never changes and the limit of a host may.
#[test]
fn every_module_that_the_host_accepts_can_be_published() {
    let most = usize::try_from(MAX_MODULE_BYTES).unwrap();
    assert_eq!(most, 4 << 20);
    assert!(lattice_wasm::abi::MAX_CODE_BYTES <= most);
}

fn prepare(command: ReleaseCommand) -> Result<Vec<u8>, ReleaseRefusal> {
    let prepared = ReleaseMachine::new().prepare(&command, &MapData::default(), &NoHistory);
    assert_eq!(
        prepared.as_ref().ok(),
        encode_payload(&command).as_ref().ok()
    );
    prepared.map_err(|error| match error {
        MachineError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    })
}

#[test]
fn fields_are_accepted_up_to_their_limits_and_refused_past_them() {
    type Change = fn(&mut Publish);
    let accepted: [Change; 8] = [
        |publish| publish.notes = "n".repeat(MAX_NOTES_BYTES),
        |publish| publish.notes.clear(),
        |publish| publish.schemas = (3, 3),
        |publish| publish.schemas = (0, u64::MAX),
        |publish| publish.length = 1,
        |publish| publish.length = MAX_MODULE_BYTES,
        |publish| publish.abi = u16::MAX,
        |publish| publish.release = u64::MAX,
    ];
    for change in accepted {
        let mut publish = publish(CHAT, 1, 1);
        change(&mut publish);
        let prepared = prepare(ReleaseCommand::Publish(publish.clone()));
        assert!(prepared.is_ok(), "{publish:?}: {prepared:?}");
    }
    let (limit, found) = (MAX_NOTES_BYTES, MAX_NOTES_BYTES + 1);
    let length = |found| ReleaseRefusal::Length {
        limit: MAX_MODULE_BYTES,
        found,
    };
    let refused: [(Change, ReleaseRefusal); 5] = [
        (
            |publish| publish.notes = "n".repeat(MAX_NOTES_BYTES + 1),
            ReleaseRefusal::NotesTooLong { limit, found },
        ),
        (
            |publish| publish.schemas = (3, 2),
            ReleaseRefusal::Schemas { first: 3, last: 2 },
        ),
        (|publish| publish.length = 0, length(0)),
        (
            |publish| publish.length = MAX_MODULE_BYTES + 1,
            length(MAX_MODULE_BYTES + 1),
        ),
        (|publish| publish.abi = 0, ReleaseRefusal::Abi),
    ];
    for (change, refusal) in refused {
        let mut publish = publish(CHAT, 1, 1);
        change(&mut publish);
        assert_eq!(prepare(ReleaseCommand::Publish(publish)), Err(refusal));
    }
    let longest = withdraw(1, &"r".repeat(limit));
    assert!(prepare(ReleaseCommand::Withdraw(longest)).is_ok());
    let longer = withdraw(1, &"r".repeat(found));
    assert_eq!(
        prepare(ReleaseCommand::Withdraw(longer)),
        Err(ReleaseRefusal::ReasonTooLong { limit, found })
    );
}

#[test]
fn ops_are_described_in_one_line() {
    let describe = |command: ReleaseCommand| {
        ReleaseMachine::new().describe(&encode_payload(&command).unwrap())
    };
    let mut seventh = publish(CHAT, 7, 1);
    seventh.notes = "two\nlines, and \u{1b}[31m colours after forty bytes".into();
    assert_eq!(
        describe(ReleaseCommand::Publish(seventh.clone())),
        "publish org.example.chat release 7: \"two\\nlines, and \\u{1b}[31m colours after forty...\""
    );
    seventh.notes.clear();
    assert_eq!(
        describe(ReleaseCommand::Publish(seventh)),
        "publish org.example.chat release 7"
    );
    let cid = cid(1);
    assert_eq!(
        describe(ReleaseCommand::Withdraw(withdraw(1, "a \\ too many"))),
        format!("withdraw {cid}: \"a \\\\ too many\"")
    );
    assert_eq!(
        describe(ReleaseCommand::Withdraw(withdraw(1, ""))),
        format!("withdraw {cid}")
    );
    assert_eq!(
        ReleaseMachine::new().describe(b"\x01"),
        "nothing: an invalid payload"
    );
}
