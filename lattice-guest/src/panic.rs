//! A panic ends the module, and the host receives its message.

use core::fmt::{self, Write};

/// Maximum length of a message, in bytes.
const MAX_BYTES: usize = 1024;

/// A text of limited length. It does not allocate, since a full heap may be the cause of the panic.
pub(crate) struct Message {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl Message {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; MAX_BYTES],
            len: 0,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Message {
    /// Truncates text that does not fit, at a character boundary.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_BYTES - self.len;
        let end = (0..=room.min(text.len())).rfind(|&end| text.is_char_boundary(end));
        let end = end.unwrap_or(0);
        self.bytes[self.len..self.len + end].copy_from_slice(&text.as_bytes()[..end]);
        self.len += end;
        Ok(())
    }
}

/// Ends the module with a message.
pub(crate) fn fail(message: fmt::Arguments<'_>) -> ! {
    let mut text = Message::new();
    // Text that does not fit is truncated.
    let _ = text.write_fmt(message);
    crate::host::fail(text.as_bytes())
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    fail(format_args!("{info}"))
}
