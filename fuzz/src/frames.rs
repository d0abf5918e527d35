//! Inputs of several parts.

/// Splits an input into parts. A length (`u16`, little endian) precedes each part; the last part
/// may be cut short.
pub(crate) struct Frames<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (frame, rest) = rest.split_at(len);
        self.0 = rest;
        Some(frame)
    }
}

/// Returns the parts in pairs.
pub(crate) fn pairs(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut frames = Frames(bytes);
    let mut pairs = Vec::new();
    while let (Some(key), Some(value)) = (frames.next(), frames.next()) {
        pairs.push((key.to_vec(), value.to_vec()));
    }
    pairs
}
