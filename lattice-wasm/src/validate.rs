//! Checks the bytes of a module before it is compiled. The engine validates the rules of
//! WebAssembly when it compiles.

use std::collections::BTreeMap;

use lattice_backend::machine::manifest::{Elements, Manifest, SECTION};
use lattice_backend::machine::{Method, MethodKind};
use wasmparser::{
    BinaryReaderError, ElementItems, ExternalKind, FuncType, FunctionBody, Import, Parser, Payload,
    TypeRef, VisitOperator,
};

use crate::abi::*;
use crate::error::CodeError;
use crate::text::{is_plain, text};

/// Magic bytes at the start of every module.
const MAGIC: &[u8] = b"\0asm";

/// About the memory that the engine takes for a function of an instance.
const INSTANCE_BYTES_PER_FUNCTION: u64 = 100;

/// A module that passed the checks.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) manifest: Manifest,
    /// The exports of the interface that the module has.
    pub(crate) exports: Vec<Export>,
    /// About how much memory an instance takes before it runs.
    pub(crate) instance_bytes: u64,
}

/// Converts an error of the module parser.
fn malformed(error: BinaryReaderError) -> CodeError {
    CodeError::Malformed {
        reason: text(error.message().as_bytes(), MAX_MESSAGE_BYTES),
        at: error.offset(),
    }
}

fn limit(
    what: &'static str,
    limit: impl Into<u64>,
    found: impl Into<u64>,
) -> Result<(), CodeError> {
    let (limit, found) = (limit.into(), found.into());
    match found <= limit {
        true => Ok(()),
        false => Err(CodeError::Limit { what, limit, found }),
    }
}

fn size(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Reads the manifest of a module, without validating the rest of it.
///
/// # Errors
/// See [`CodeError`].
pub fn read_manifest(wasm: &[u8]) -> Result<Manifest, CodeError> {
    limit("bytes", size(MAX_CODE_BYTES), size(wasm.len()))?;
    if !wasm.starts_with(MAGIC) {
        return Err(CodeError::Malformed {
            reason: "expected the magic bytes of WebAssembly at the start".into(),
            at: 0,
        });
    }
    let mut sections = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CustomSection(section) = payload.map_err(malformed)?
            && section.name() == SECTION
        {
            sections.push(section.data());
        }
    }
    match *sections {
        [manifest] => Ok(Manifest::decode(manifest)?),
        _ => Err(CodeError::NoManifest {
            found: sections.len(),
        }),
    }
}

/// Checks the bytes of a module.
pub(crate) fn validate(wasm: &[u8]) -> Result<Checked, CodeError> {
    let manifest = read_manifest(wasm)?;
    let mut module = Module::default();
    for payload in Parser::new(0).parse_all(wasm) {
        module.check(&payload.map_err(malformed)?)?;
    }
    let exports = module.check_exports(&manifest)?;
    let instance_bytes = module.first_pages * size(PAGE_BYTES)
        + size(module.functions.len()) * INSTANCE_BYTES_PER_FUNCTION;
    Ok(Checked {
        manifest,
        exports,
        instance_bytes,
    })
}

/// The counts and the parts of a module found so far.
#[derive(Default)]
struct Module {
    types: Vec<FuncType>,
    /// The type of each function, imported functions first.
    functions: Vec<u32>,
    exports: BTreeMap<String, (ExternalKind, u32)>,
    memories: u32,
    /// The initial size of the memory.
    first_pages: u64,
}

impl Module {
    fn check(&mut self, payload: &Payload<'_>) -> Result<(), CodeError> {
        match payload {
            Payload::TypeSection(types) => {
                limit("types", MAX_TYPES, types.count())?;
                for found in types.clone().into_iter_err_on_gc_types() {
                    let found = found.map_err(malformed)?;
                    limit(
                        "parameters of a function",
                        size(MAX_PARAMS),
                        size(found.params().len()),
                    )?;
                    limit(
                        "results of a function",
                        size(MAX_RESULTS),
                        size(found.results().len()),
                    )?;
                    self.types.push(found);
                }
            }
            Payload::ImportSection(imports) => {
                // A module could import one function twice, but none needs to.
                limit("imports", size(IMPORTS.len()), imports.count())?;
                for import in imports.clone() {
                    self.import(&import.map_err(malformed)?)?;
                }
            }
            Payload::FunctionSection(functions) => {
                limit("functions", MAX_FUNCTIONS, functions.count())?;
                for function in functions.clone() {
                    self.functions.push(function.map_err(malformed)?);
                }
            }
            Payload::TableSection(tables) => {
                limit("tables", 1_u32, tables.count())?;
                for table in tables.clone() {
                    limit(
                        "elements of the table",
                        MAX_TABLE,
                        table.map_err(malformed)?.ty.initial,
                    )?;
                }
            }
            Payload::MemorySection(memories) => {
                self.memories = memories.count();
                for memory in memories.clone() {
                    self.first_pages = memory.map_err(malformed)?.initial;
                    limit("pages of memory", MAX_FIRST_PAGES, self.first_pages)?;
                }
            }
            Payload::GlobalSection(globals) => limit("globals", MAX_GLOBALS, globals.count())?,
            Payload::ExportSection(exports) => {
                limit("exports", MAX_EXPORTS, exports.count())?;
                for export in exports.clone() {
                    let export = export.map_err(malformed)?;
                    let found = (export.kind, export.index);
                    self.exports.insert(export.name.to_owned(), found);
                }
            }
            Payload::StartSection { .. } => {
                return Err(CodeError::Forbidden {
                    what: "a start function",
                });
            }
            Payload::ElementSection(segments) => {
                limit("element segments", MAX_SEGMENTS, segments.count())?;
                // Each instance copies the segments before gas is charged.
                let mut elements = 0;
                for segment in segments.clone() {
                    elements += match segment.map_err(malformed)?.items {
                        ElementItems::Functions(items) => u64::from(items.count()),
                        ElementItems::Expressions(_, items) => u64::from(items.count()),
                    };
                    limit("elements of segments", MAX_TABLE, elements)?;
                }
            }
            Payload::DataSection(segments) => {
                limit("data segments", MAX_SEGMENTS, segments.count())?;
            }
            Payload::CodeSectionEntry(body) => check_body(body)?,
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: &Import<'_>) -> Result<(), CodeError> {
        let shown = |what: &str| CodeError::Import {
            found: format!(
                "{what} {} of {}",
                quoted(import.name),
                quoted(import.module)
            ),
        };
        let TypeRef::Func(index) = import.ty else {
            return Err(shown("an item that is not a function,"));
        };
        if import.module != IMPORT_MODULE {
            let version = import.module.strip_prefix("lattice");
            let version = version.filter(|version| !version.starts_with(['0', '+']));
            let version = version.and_then(|version| version.parse::<u32>().ok());
            return Err(match version.is_some_and(|version| version > 1) {
                true => CodeError::NewerImports {
                    module: import.module.to_owned(),
                },
                false => shown("the function"),
            });
        }
        let known = IMPORTS.iter().find(|known| known.name == import.name);
        let known = known.ok_or_else(|| shown("the unknown function"))?;
        match self.type_of(index).is_some_and(|found| is_of(found, known)) {
            true => self.functions.push(index),
            false => return Err(shown("with a different signature the function")),
        }
        Ok(())
    }

    fn type_of(&self, index: u32) -> Option<&FuncType> {
        self.types.get(usize::try_from(index).ok()?)
    }

    /// The functions of the interface that the module exports.
    fn check_exports(&self, manifest: &Manifest) -> Result<Vec<Export>, CodeError> {
        let has = |kind| manifest.methods.iter().any(|method| method.kind == kind);
        if has(MethodKind::Stream) {
            return Err(CodeError::Forbidden {
                what: "a method that is a stream",
            });
        }
        if manifest.methods.iter().any(has_controls) {
            return Err(CodeError::Forbidden {
                what: "a control character in the text of a method",
            });
        }
        self.check_memory()?;
        let mut present = Vec::new();
        for export in Export::ALL {
            let is_needed = match export {
                Export::Alloc | Export::Decode | Export::Apply => true,
                Export::Settle | Export::Describe => false,
                Export::Elements => manifest.elements == Elements::Code,
                Export::Prepare => has(MethodKind::Command),
                Export::Query => has(MethodKind::Query),
                Export::Migrate => manifest.schemas.start() < manifest.schemas.end(),
                Export::Convert => !manifest.converts.is_empty(),
            };
            if self.check_export(&export.signature(), is_needed)? {
                present.push(export);
            }
        }
        let is_known = |name: &str| Export::ALL.iter().any(|export| export.name() == name);
        let mut names = self.exports.keys();
        match names.find(|name| name.starts_with(EXPORT_PREFIX) && !is_known(name)) {
            Some(name) => Err(CodeError::Export {
                expected: format!("no other `{EXPORT_PREFIX}...` than those of the interface"),
                found: quoted(name),
            }),
            None => Ok(present),
        }
    }

    fn check_memory(&self) -> Result<(), CodeError> {
        let is_there = self.exports.get(MEMORY) == Some(&(ExternalKind::Memory, 0));
        match self.memories == 1 && is_there {
            true => Ok(()),
            false => Err(CodeError::Export {
                expected: format!("`{MEMORY}`, the one memory of the module"),
                found: match self.memories {
                    1 => "none of that name".into(),
                    count => format!("{count} memories"),
                },
            }),
        }
    }

    /// Whether a function is exported.
    fn check_export(&self, export: &Signature, is_needed: bool) -> Result<bool, CodeError> {
        let expected = |found: &str| CodeError::Export {
            expected: format!("`{}` {}", export.name, shown(export.params, export.results)),
            found: found.to_owned(),
        };
        let Some((kind, index)) = self.exports.get(export.name) else {
            return match is_needed {
                true => Err(expected("none of that name")),
                false => Ok(false),
            };
        };
        let function = usize::try_from(*index).ok();
        let function = function.and_then(|index| self.functions.get(index));
        let found = function.and_then(|function| self.type_of(*function));
        match (kind, found) {
            (ExternalKind::Func, Some(found)) if is_of(found, export) => Ok(true),
            (ExternalKind::Func, Some(found)) => {
                Err(expected(&shown(found.params(), found.results())))
            }
            _ => Err(expected("an item that is not a function")),
        }
    }
}

/// Users see names and descriptions in lists and errors, so control characters are refused.
fn has_controls(method: &Method) -> bool {
    let params = method.params.iter();
    let params = params.flat_map(|param| [&param.name, &param.doc]);
    let mut texts = [&method.name, &method.doc].into_iter().chain(params);
    texts.any(|text| !is_plain(text))
}

/// A name in quotes, at most 80 characters of it.
fn quoted(name: &str) -> String {
    let start: String = name.chars().take(80).collect();
    format!("{start:?}")
}

fn is_of(found: &FuncType, expected: &Signature) -> bool {
    found.params() == expected.params && found.results() == expected.results
}

fn shown(params: &[wasmparser::ValType], results: &[wasmparser::ValType]) -> String {
    let names = |types: &[wasmparser::ValType]| {
        let names = types.iter().map(ToString::to_string);
        names.collect::<Vec<_>>().join(", ")
    };
    format!("({}) -> ({})", names(params), names(results))
}

/// Limits the constructs that take a compiler long.
fn check_body(body: &FunctionBody<'_>) -> Result<(), CodeError> {
    limit(
        "bytes in a function",
        size(MAX_BODY_BYTES),
        size(body.range().len()),
    )?;
    let mut locals = 0_u32;
    for local in body.get_locals_reader().map_err(malformed)? {
        let (count, _) = local.map_err(malformed)?;
        locals = locals.saturating_add(count);
        limit("locals in a function", MAX_LOCALS, locals)?;
    }
    let mut operators = body.get_operators_reader().map_err(malformed)?;
    let mut counts = Counts::default();
    while !operators.eof() {
        operators.visit_operator(&mut counts).map_err(malformed)?;
    }
    limit("nested blocks", MAX_NESTING, counts.deepest)?;
    limit("branches in a table", MAX_BRANCHES, counts.most_branches)
}

/// Counts of a function's operators. A visitor takes half the time of constructing a value for
/// each.
#[derive(Default)]
struct Counts {
    nesting: u32,
    deepest: u32,
    most_branches: u32,
}

impl Counts {
    fn open(&mut self) {
        self.nesting += 1;
        self.deepest = self.deepest.max(self.nesting);
    }
}

macro_rules! count_operators {
    ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*) )*) => {
        $( count_operators!(@one $op $visit $( $($arg: $argty),* )?); )*
    };
    (@one Block $visit:ident $arg:ident: $argty:ty) => {
        fn $visit(&mut self, _: $argty) {
            self.open();
        }
    };
    (@one Loop $visit:ident $arg:ident: $argty:ty) => {
        fn $visit(&mut self, _: $argty) {
            self.open();
        }
    };
    (@one If $visit:ident $arg:ident: $argty:ty) => {
        fn $visit(&mut self, _: $argty) {
            self.open();
        }
    };
    (@one End $visit:ident) => {
        fn $visit(&mut self) {
            self.nesting = self.nesting.saturating_sub(1);
        }
    };
    (@one BrTable $visit:ident $arg:ident: $argty:ty) => {
        fn $visit(&mut self, $arg: $argty) {
            self.most_branches = self.most_branches.max($arg.len());
        }
    };
    (@one $op:ident $visit:ident $($arg:ident: $argty:ty),*) => {
        fn $visit(&mut self $(, _: $argty)*) {}
    };
}

impl<'a> VisitOperator<'a> for Counts {
    type Output = ();

    wasmparser::for_each_visit_operator!(count_operators);
}
