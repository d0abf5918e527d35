//! Describes a module. The description can be read without running the module.
//!
//! A state machine that implements [`StoreCode`] has a manifest. The compiler computes it, and it
//! is in the custom section `lattice.store` of the module.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use lattice_meta::codec::{self, CodecError};
use lattice_meta::{SchemaVersion, StoreType, StoreTypeError};
use serde::{Deserialize, Serialize};

use crate::machine::{
    Conversion, Method, MethodEntry, MethodKind, Param, StateMachine, Step, ValueType,
};

/// The name of the custom section.
pub const SECTION: &str = "lattice.store";
/// The version of the interface between a module and its host.
pub const ABI: u16 = 1;
/// The longest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 64 << 10;
/// The most methods, and the most store types in `converts`.
const MAX_METHODS: usize = 256;
/// The most parameters of a method.
const MAX_PARAMS: usize = 64;

/// Where the elements of the state hash come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Elements {
    /// Each row is an element; the code is not called.
    Rows,
    /// The code maps rows to elements.
    Code,
}

/// A state machine whose description is known at compile time, so that it can be exported from a
/// module. The constants repeat what [`logic`](StateMachine::logic) and
/// [`methods`](StateMachine::methods) return; [`check`] compares the two.
pub trait StoreCode: StateMachine + Sized {
    /// The store type.
    const STORE_TYPE: &'static str;
    /// The first and the last layout of rows that the code opens.
    const SCHEMAS: (u64, u64) = (1, 1);
    /// The methods.
    const METHODS: &'static [MethodEntry<Self>] = &[];
    /// Where elements come from; `Rows` requires the default [`elements`](StateMachine::elements).
    const ELEMENTS: Elements = Elements::Rows;
    /// The store types that [`convert`](Self::convert) can convert to this type.
    const CONVERTS: &'static [&'static str] = &[];

    /// Runs one step of the conversion of a store of an old type.
    ///
    /// # Errors
    /// Why the old store cannot be converted. The default converts no type.
    fn convert(&self, step: Step) -> Result<Conversion, String> {
        Err(format!("{} is not converted by this code", step.from))
    }
}

/// The description of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The version of the interface; see [`ABI`].
    pub abi: u16,
    /// The store type.
    pub store_type: StoreType,
    /// The layouts of rows that the module opens.
    pub schemas: RangeInclusive<SchemaVersion>,
    /// Where elements come from.
    pub elements: Elements,
    /// Its methods.
    pub methods: Vec<Method>,
    /// The store types that the module can convert.
    pub converts: Vec<StoreType>,
}

/// Why bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The interface has another version.
    #[error("the module has version {found} of the interface, this program knows version {ABI}")]
    Abi {
        /// The module's version.
        found: u16,
    },
    /// The bytes are malformed.
    #[error("the bytes are not a manifest")]
    Codec(#[from] CodecError),
    /// A store type does not follow the grammar.
    #[error(transparent)]
    StoreType(#[from] StoreTypeError),
    /// An undefined number, or a duplicate name.
    #[error("expected {expected}, found {found}")]
    Field {
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
}

/// The encoded form of a manifest. The interface version comes first, so that it can be read from
/// every version's manifest.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    abi: u16,
    store_type: &'a str,
    first_schema: u64,
    last_schema: u64,
    elements: u8,
    #[serde(
        borrow,
        deserialize_with = "codec::bounded_seq::deserialize::<_, _, MAX_METHODS>"
    )]
    methods: Vec<WireMethod<'a>>,
    #[serde(
        borrow,
        deserialize_with = "codec::bounded_seq::deserialize::<_, _, MAX_METHODS>"
    )]
    converts: Vec<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct WireMethod<'a> {
    kind: u8,
    name: &'a str,
    doc: &'a str,
    result: u8,
    #[serde(
        borrow,
        deserialize_with = "codec::bounded_seq::deserialize::<_, _, MAX_PARAMS>"
    )]
    params: Vec<WireParam<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WireParam<'a> {
    name: &'a str,
    doc: &'a str,
    value_type: u8,
    required: bool,
}

const fn kind_number(kind: MethodKind) -> u8 {
    match kind {
        MethodKind::Command => 0,
        MethodKind::Query => 1,
        MethodKind::Stream => 2,
    }
}

const fn type_number(value_type: ValueType) -> u8 {
    match value_type {
        ValueType::Null => 0,
        ValueType::Bool => 1,
        ValueType::Integer => 2,
        ValueType::Bytes => 3,
        ValueType::Text => 4,
        ValueType::List => 5,
        ValueType::Record => 6,
    }
}

const fn elements_number(elements: Elements) -> u8 {
    match elements {
        Elements::Rows => 0,
        Elements::Code => 1,
    }
}

/// The member of `all` with this number.
fn by_number<T: Copy>(
    all: impl IntoIterator<Item = T>,
    number_of: impl Fn(T) -> u8,
    number: u8,
    expected: &'static str,
) -> Result<T, ManifestError> {
    let mut all = all.into_iter();
    let found = all.find(|member| number_of(*member) == number);
    found.ok_or_else(|| ManifestError::Field {
        expected,
        found: number.to_string(),
    })
}

fn type_of(number: u8) -> Result<ValueType, ManifestError> {
    let all = [
        ValueType::Null,
        ValueType::Bool,
        ValueType::Integer,
        ValueType::Bytes,
        ValueType::Text,
        ValueType::List,
        ValueType::Record,
    ];
    by_number(all, type_number, number, "a type of 0 to 6")
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), ManifestError> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(ManifestError::Field {
            expected: "names that are used once",
            found: format!("{:?} twice", pair[0]),
        }),
    }
}

impl Manifest {
    /// The manifest of a state machine, from its constants.
    ///
    /// # Errors
    /// [`StoreTypeError`] if a constant is not a store type.
    pub fn of<M: StoreCode>() -> Result<Self, StoreTypeError> {
        let converts = M::CONVERTS.iter().map(|text| text.parse());
        Ok(Self {
            abi: ABI,
            store_type: M::STORE_TYPE.parse()?,
            schemas: SchemaVersion::new(M::SCHEMAS.0)..=SchemaVersion::new(M::SCHEMAS.1),
            elements: M::ELEMENTS,
            methods: M::METHODS
                .iter()
                .map(|entry| entry.method.clone())
                .collect(),
            converts: converts.collect::<Result<_, _>>()?,
        })
    }

    /// Encodes the manifest.
    pub fn encode(&self) -> Vec<u8> {
        let methods = self.methods.iter().map(|method| WireMethod {
            kind: kind_number(method.kind),
            name: &method.name,
            doc: &method.doc,
            result: type_number(method.result),
            params: method
                .params
                .iter()
                .map(|param| WireParam {
                    name: &param.name,
                    doc: &param.doc,
                    value_type: type_number(param.value_type),
                    required: param.required,
                })
                .collect(),
        });
        let wire = Wire {
            abi: self.abi,
            store_type: self.store_type.as_str(),
            first_schema: self.schemas.start().get(),
            last_schema: self.schemas.end().get(),
            elements: elements_number(self.elements),
            methods: methods.collect(),
            converts: self.converts.iter().map(StoreType::as_str).collect(),
        };
        codec::encode(&wire).expect("the codec knows all of its fields")
    }

    /// Decodes a manifest: all bytes, in canonical form only.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if let Some(abi) = bytes.first_chunk().map(|abi| u16::from_le_bytes(*abi))
            && abi != ABI
        {
            return Err(ManifestError::Abi { found: abi });
        }
        let wire: Wire<'_> = codec::decode(bytes, MAX_MANIFEST_BYTES)?;
        if wire.first_schema == 0 || wire.first_schema > wire.last_schema {
            return Err(ManifestError::Field {
                expected: "schemas from 1 on, the first one first",
                found: format!("{} to {}", wire.first_schema, wire.last_schema),
            });
        }
        unique(wire.methods.iter().map(|method| method.name))?;
        let converts = wire.converts.into_iter().map(str::parse);
        let methods = wire.methods.into_iter().map(method_of);
        Ok(Self {
            abi: wire.abi,
            store_type: wire.store_type.parse()?,
            schemas: SchemaVersion::new(wire.first_schema)..=SchemaVersion::new(wire.last_schema),
            elements: by_number(
                [Elements::Rows, Elements::Code],
                elements_number,
                wire.elements,
                "elements of kind 0 or 1",
            )?,
            methods: methods.collect::<Result<_, _>>()?,
            converts: converts.collect::<Result<_, _>>()?,
        })
    }
}

fn method_of(wire: WireMethod<'_>) -> Result<Method, ManifestError> {
    unique(wire.params.iter().map(|param| param.name))?;
    let params = wire.params.into_iter().map(|param| {
        Ok(Param {
            name: Cow::Owned(param.name.into()),
            value_type: type_of(param.value_type)?,
            required: param.required,
            doc: Cow::Owned(param.doc.into()),
        })
    });
    let kinds = [MethodKind::Command, MethodKind::Query, MethodKind::Stream];
    Ok(Method {
        kind: by_number(kinds, kind_number, wire.kind, "a method of kind 0, 1 or 2")?,
        name: Cow::Owned(wire.name.into()),
        doc: Cow::Owned(wire.doc.into()),
        result: type_of(wire.result)?,
        params: params.collect::<Result<Vec<_>, ManifestError>>()?.into(),
    })
}

/// Compares the self-description of a state machine with its constants.
///
/// # Errors
/// What differs.
pub fn check<M: StoreCode>(machine: &M) -> Result<(), String> {
    let logic = machine.logic();
    let manifest = Manifest::of::<M>().map_err(|error| error.to_string())?;
    let differs = |what: &str, constant: &str, said: &str| {
        Err(format!(
            "{what} is {constant} in the constants, and {said} in the machine"
        ))
    };
    if *logic.store_type() != manifest.store_type {
        return differs("the type", M::STORE_TYPE, logic.store_type().as_str());
    }
    let schemas = logic.oldest_schema()..=logic.newest_schema();
    if schemas != manifest.schemas {
        let [constant, said] = [&manifest.schemas, &schemas].map(|range| format!("{range:?}"));
        return differs("the range of schemas", &constant, &said);
    }
    let methods = machine.methods().iter().map(|entry| &entry.method);
    if !methods.eq(&manifest.methods) {
        return Err("`methods` differs from `METHODS`".into());
    }
    match Manifest::decode(&manifest.encode()) {
        Ok(decoded) if decoded == manifest => Ok(()),
        Ok(_) => Err("the manifest does not decode to what was encoded".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes the encoding at compile time. Without room, only counts its bytes.
struct Writer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Writer<N> {
    const fn push(&mut self, byte: u8) {
        if self.len < N {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
    }

    const fn append(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            self.push(bytes[at]);
            at += 1;
        }
    }

    const fn len(&mut self, len: usize) {
        // Constants have no other conversion. A length has at most 64 bits.
        #[allow(clippy::as_conversions)]
        self.append(&(len as u64).to_le_bytes());
    }

    const fn text(&mut self, text: &str) {
        self.len(text.len());
        self.append(text.as_bytes());
    }

    // A constant cannot deref a `Cow`.
    #[allow(clippy::ptr_arg)]
    const fn name(&mut self, text: &Cow<'static, str>) {
        match text {
            Cow::Borrowed(text) => self.text(text),
            Cow::Owned(_) => panic!("a name in a constant is borrowed"),
        }
    }

    const fn method(&mut self, method: &Method) {
        self.push(kind_number(method.kind));
        self.name(&method.name);
        self.name(&method.doc);
        self.push(type_number(method.result));
        let Cow::Borrowed(params) = &method.params else {
            panic!("parameters in a constant are borrowed");
        };
        self.len(params.len());
        let mut at = 0;
        while at < params.len() {
            let param = &params[at];
            self.name(&param.name);
            self.name(&param.doc);
            self.push(type_number(param.value_type));
            self.push(if param.required { 1 } else { 0 });
            at += 1;
        }
    }

    const fn manifest<M: StoreCode>(&mut self) {
        self.append(&ABI.to_le_bytes());
        self.text(M::STORE_TYPE);
        self.append(&M::SCHEMAS.0.to_le_bytes());
        self.append(&M::SCHEMAS.1.to_le_bytes());
        self.push(elements_number(M::ELEMENTS));
        self.len(M::METHODS.len());
        let mut at = 0;
        while at < M::METHODS.len() {
            self.method(&M::METHODS[at].method);
            at += 1;
        }
        self.len(M::CONVERTS.len());
        let mut at = 0;
        while at < M::CONVERTS.len() {
            self.text(M::CONVERTS[at]);
            at += 1;
        }
    }
}

/// The length of a state machine's manifest, in bytes.
pub const fn encoded_len<M: StoreCode>() -> usize {
    let mut writer = Writer { bytes: [], len: 0 };
    writer.manifest::<M>();
    writer.len
}

/// A state machine's manifest. `N` must be [`encoded_len`].
///
/// # Panics
/// At compile time, if `N` differs from [`encoded_len`].
pub const fn encode<M: StoreCode, const N: usize>() -> [u8; N] {
    let mut writer = Writer {
        bytes: [0; N],
        len: 0,
    };
    writer.manifest::<M>();
    assert!(writer.len == N, "the manifest has another length");
    writer.bytes
}
