//! The file or stream of an import: decompressed, checked to be no UTF-16, its format found.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use serde::de::IgnoredAny;

use super::{Stop, zstd};
use crate::program::args::{self, Delimiter, ImportFormat};
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::interrupt;
use crate::program::output::echo;
use crate::program::pipes::{self, FileArg};

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
/// How much of a file is read to find out whether its JSON has one object a line.
const HEAD_BYTES: usize = 64 << 10;

/// An opened input, with what its name and the arguments say about it.
pub(super) struct Source {
    pub(super) name: String,
    /// The length in bytes, as it is stored.
    pub(super) len: Option<u64>,
    pub(super) reader: Box<dyn Read>,
    /// Set if a signal ended it, perhaps within a row.
    pub(super) is_cut: Rc<Cell<bool>>,
    named: Named,
}

/// What the start of an input says about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) layout: Layout,
    pub(super) is_packed: bool,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// A JSON object a line.
    JsonLines,
    /// JSON objects one after another, or in an array.
    Json,
    /// A line of column names, and records.
    Table { delimiter: u8 },
    /// Lines of any bytes.
    Lines,
}

/// What is known about a file before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named {
    /// `None` for JSON in either form.
    layout: Option<Layout>,
    packing: Option<Packing>,
}

/// How a file is compressed, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
}

impl Source {
    /// Opens the file or standard input, and reads nothing.
    pub(super) fn open(context: &Context<'_>, args: &args::Import) -> Result<Self, Failure> {
        let opened = args.file.open(context, "FILE")?;
        let named = Named::new(args)?;
        let len = opened.input.len();
        let (reader, is_cut): (Box<dyn Read>, _) = match opened.input {
            pipes::Input::File(file) => (Box::new(file), Rc::default()),
            pipes::Input::Stream(stream) => {
                let input = interrupt::Input::new(&context.interruption, stream);
                let is_cut = input.is_cut();
                (Box::new(input), is_cut)
            }
        };
        Ok(Self {
            name: opened.name,
            len,
            reader,
            is_cut,
            named,
        })
    }

    /// The layout, as far as it is known.
    pub(super) fn layout(&self) -> Layout {
        self.named.layout.unwrap_or(Layout::JsonLines)
    }
}

/// Reads the start of a stream, and decompresses it. Returns the layout and all bytes of it.
pub(super) fn begin(
    source: Source,
    wrap: impl FnOnce(Box<dyn Read>) -> Box<dyn Read>,
) -> Result<(Form, Box<dyn Read>), Stop> {
    let Source {
        name,
        reader,
        named,
        ..
    } = source;
    let (head, stored) = peek(wrap(reader), |head| head.len() >= 4)?;
    let is_packed = head.starts_with(GZIP) || zstd::is_start(&head);
    let unpacked: Box<dyn Read> = if head.starts_with(GZIP) {
        Box::new(Unpacked(MultiGzDecoder::new(stored)))
    } else if zstd::is_start(&head) {
        Box::new(Unpacked(zstd::Decoder::new(stored)))
    } else if let Some(packing) = named.packing {
        let packing = match packing {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        };
        return Err(Stop::Form(format!(
            "{name} is not compressed with {packing}, as its extension says; rename it"
        )));
    } else {
        stored
    };
    let (head, text) = peek(unpacked, |head| head.len() >= 4)?;
    check_encoding(&name, &head, named.layout)?;
    let Some(layout) = named.layout else {
        let (head, text) = peek(text, |head| {
            head.len() >= HEAD_BYTES || form_of(head).is_some()
        })?;
        let layout = form_of(&head).unwrap_or(Layout::JsonLines);
        return Ok((Form { layout, is_packed }, text));
    };
    Ok((Form { layout, is_packed }, text))
}

impl Named {
    fn new(args: &args::Import) -> Result<Self, Failure> {
        let path = match &args.file {
            FileArg::Path(path) => Some(path.as_path()),
            FileArg::Stdio => None,
        };
        let ending = |path: &Path| -> Option<String> {
            let ending = path.extension().and_then(OsStr::to_str)?;
            Some(ending.to_ascii_lowercase())
        };
        let last = path.and_then(ending);
        let packed = last.as_deref();
        let inner = match packed {
            Some("gz" | "gzip" | "zst") => path
                .and_then(Path::file_stem)
                .and_then(|stem| ending(Path::new(stem))),
            _ => last.clone(),
        };
        let comma = args.delimiter.map_or(b',', |Delimiter(byte)| byte);
        let layout = match (args.format, inner.as_deref()) {
            (Some(ImportFormat::Jsonl), _) => Some(Layout::JsonLines),
            (Some(ImportFormat::Json), _) => Some(Layout::Json),
            (Some(ImportFormat::Lines), _) => Some(Layout::Lines),
            (None, Some("tsv")) if args.delimiter.is_none() => {
                Some(Layout::Table { delimiter: b'\t' })
            }
            (Some(ImportFormat::Csv), _) | (None, Some("csv" | "tsv")) => {
                Some(Layout::Table { delimiter: comma })
            }
            (None, _) if args.delimiter.is_some() => Some(Layout::Table { delimiter: comma }),
            (None, Some("jsonl" | "ndjson")) => Some(Layout::JsonLines),
            (None, Some("json")) => None,
            (None, Some("log" | "txt")) => Some(Layout::Lines),
            (None, _) if path.is_none() => None,
            (None, _) => {
                let name = path.unwrap_or(Path::new("")).as_os_str().as_encoded_bytes();
                return Err(Failure::usage(format!(
                    "{} has no extension that names its format; give --format jsonl, json, csv or lines",
                    echo(name)
                )));
            }
        };
        if args.delimiter.is_some() && !matches!(layout, Some(Layout::Table { .. })) {
            return Err(Failure::usage(
                "--delimiter separates the columns of --format csv; omit it for other formats",
            ));
        }
        Ok(Self {
            layout,
            packing: match packed {
                Some("gz" | "gzip") => Some(Packing::Gzip),
                Some("zst") => Some(Packing::Zstd),
                _ => None,
            },
        })
    }
}

/// The form of JSON text, if its start says it: an array, objects of several lines, or lines.
fn form_of(head: &[u8]) -> Option<Layout> {
    let head = head.strip_prefix(super::BYTE_ORDER_MARK).unwrap_or(head);
    let text = head.trim_ascii_start();
    if text.first()? == &b'[' {
        return Some(Layout::Json);
    }
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let line = serde_json::from_slice::<IgnoredAny>(&text[..end]);
    Some(match line {
        Err(error) if error.is_eof() => Layout::Json,
        _ => Layout::JsonLines,
    })
}

/// Refuses UTF-16 and UTF-32, whose rows this program would take apart.
fn check_encoding(name: &str, head: &[u8], layout: Option<Layout>) -> Result<(), Stop> {
    let found = match head {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => "UTF-32",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        // Without a mark: text begins with a character below U+0100. Lines can have any bytes.
        [0, low, ..] if *low != 0 && layout != Some(Layout::Lines) => "UTF-16BE",
        [low, 0, ..] if *low != 0 && layout != Some(Layout::Lines) => "UTF-16LE",
        _ => return Ok(()),
    };
    // JSON needs no --format on standard input.
    let format = match layout {
        Some(Layout::Table { .. }) => " --format csv",
        Some(Layout::Lines) => " --format lines",
        _ => "",
    };
    Err(Stop::Form(format!(
        "{name}: expected UTF-8, found {found}; `iconv -f {found} -t UTF-8 FILE | lattice import \
         STORE -{format}` imports it"
    )))
}

/// Reads until `enough` of the start is there, or the end is reached. Returns the start, and a
/// reader of all bytes.
fn peek(
    mut reader: Box<dyn Read>,
    enough: impl Fn(&[u8]) -> bool,
) -> Result<(Vec<u8>, Box<dyn Read>), Stop> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !enough(&head) {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => head.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Stop::Read(error)),
        }
    }
    Ok((head.clone(), Box::new(Cursor::new(head).chain(reader))))
}

/// Compressed data is damaged, or has no end.
#[derive(Debug, thiserror::Error)]
#[error("the compressed data is damaged or cut short: {0}")]
struct Damaged(io::Error);

/// A decompressor whose errors say what is damaged.
struct Unpacked<R>(R);

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof => {
                io::Error::new(io::ErrorKind::InvalidData, Damaged(error))
            }
            _ => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_json_is_found_in_its_first_line() {
        for (text, form) in [
            ("", None),
            ("{\"a\":1}", None),
            (" \n\r\n[", Some(Layout::Json)),
            ("\u{feff}[", Some(Layout::Json)),
            ("\n{\n", Some(Layout::Json)),
            ("{\"a\": [1,\n", Some(Layout::Json)),
            ("{\"a\":1}\n", Some(Layout::JsonLines)),
            ("plain\n", Some(Layout::JsonLines)),
            ("{\"a\" 1}\n", Some(Layout::JsonLines)),
        ] {
            assert_eq!(form_of(text.as_bytes()), form, "{text:?}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_by_name() {
        let found = |head: &[u8], layout| {
            let checked = check_encoding("x", head, layout);
            checked.err().map(|stop| stop.to_string())
        };
        let lines = Some(Layout::Lines);
        for (head, name) in [
            (&b"\xff\xfea\0"[..], "UTF-16"),
            (b"\xfe\xff\0a", "UTF-16"),
            (b"\xff\xfe\0\0", "UTF-32"),
            (b"\0\0\xfe\xff", "UTF-32"),
        ] {
            let told = found(head, lines).unwrap();
            assert!(told.contains(&format!("found {name};")), "{told}");
            assert!(told.contains(&format!("iconv -f {name} ")), "{told}");
        }
        assert!(found(b"a\0b\0", None).unwrap().contains("UTF-16LE"));
        assert!(found(b"\0{\0\"", None).unwrap().contains("UTF-16BE"));
        for plain in [&b"a\0b\0"[..], b"\0\0\0\0", b"\xef\xbb\xbfa", b"\xff", b""] {
            assert_eq!(found(plain, lines), None, "{plain:?}");
        }
    }
}
