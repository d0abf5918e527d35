//! Limits how long the code of a module may run.

use crate::abi::{
    BASE_EARNING_ROWS, BASE_GAS, BULK_BYTES_PER_GAS, EARNING_PASSES, GAS_PER_BYTE, GAS_PER_CALL,
    GAS_PER_ROW, GAS_PER_ROW_BYTE,
};

/// Maximum bytes of rows that earn gas.
const MAX_EARNING_BYTES: u64 = 256 << 20;

/// The gas of one call. It has a constant part, a part for the input, which the author of the op
/// pays for, and a part earned by the rows that the host passes in. Data that others wrote thus
/// pays for its own handling.
///
/// With p bytes of input, r rows that have b bytes, and l rows in the longest range:
/// 50,000,000 + 2,048 p + 20,000 r + 64 b, where r counts up to 2^16 + p + 16 l, and b up to 256
/// MiB.
///
/// The engine counts instructions. A call of the host is one instruction, however many bytes it
/// handles, so the host counts its own work.
#[derive(Debug)]
pub(crate) struct Gas {
    input: u64,
    rows: u64,
    bytes: u64,
    longest_range: u64,
    allowed: u64,
    /// Gas for the host's work that the engine has not been charged for yet.
    due: u64,
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl Default for Gas {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Gas {
    pub(crate) fn new(input_bytes: usize) -> Self {
        let input = count(input_bytes);
        Self {
            input,
            rows: 0,
            bytes: 0,
            longest_range: 0,
            due: 0,
            allowed: BASE_GAS.saturating_add(input.saturating_mul(GAS_PER_BYTE)),
        }
    }

    /// The total gas that the call may use so far.
    pub(crate) fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Charges for bytes that the host reads from the module's memory, or copies to it.
    pub(crate) fn handle(&mut self, bytes: usize) {
        self.spend(count(bytes) / u64::from(BULK_BYTES_PER_GAS));
    }

    pub(crate) fn spend(&mut self, gas: u64) {
        self.due = self.due.saturating_add(gas);
    }

    /// The charge for a call of the host that has ended.
    pub(crate) fn settle_call(&mut self) -> u64 {
        GAS_PER_CALL.saturating_add(std::mem::take(&mut self.due))
    }

    /// The gas earned by a row that the host passes in, the `nth` of its range, counted from 1.
    pub(crate) fn earn(&mut self, nth: u64, bytes: usize) -> u64 {
        self.longest_range = self.longest_range.max(nth);
        let passes = EARNING_PASSES.saturating_mul(self.longest_range);
        let earning = BASE_EARNING_ROWS
            .saturating_add(self.input)
            .saturating_add(passes);
        if self.rows >= earning {
            return 0;
        }
        self.rows += 1;
        let bytes = count(bytes).min(MAX_EARNING_BYTES - self.bytes);
        self.bytes += bytes;
        let more = GAS_PER_ROW + bytes * GAS_PER_ROW_BYTE;
        self.allowed = self.allowed.saturating_add(more);
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_earn_gas_until_the_range_was_read_sixteen_times() {
        let mut gas = Gas::new(3);
        assert_eq!(gas.allowed(), BASE_GAS + 3 * GAS_PER_BYTE);
        let earning = BASE_EARNING_ROWS + 3 + 16 * 5;
        for nth in 0..earning {
            assert_eq!(gas.earn(nth % 5 + 1, 2), GAS_PER_ROW + 2 * GAS_PER_ROW_BYTE);
        }
        assert_eq!(gas.earn(5, 2), 0);
        assert_eq!(gas.earn(6, 2), GAS_PER_ROW + 2 * GAS_PER_ROW_BYTE);
        let allowed = BASE_GAS + 3 * GAS_PER_BYTE + (earning + 1) * (GAS_PER_ROW + 128);
        assert_eq!(gas.allowed(), allowed);
    }

    #[test]
    fn the_work_of_the_host_is_charged_once() {
        let mut gas = Gas::new(0);
        gas.handle(15);
        gas.handle(160);
        gas.spend(3);
        assert_eq!(gas.settle_call(), GAS_PER_CALL + 10 + 3);
        assert_eq!(gas.settle_call(), GAS_PER_CALL);
        gas.spend(u64::MAX);
        assert_eq!(gas.settle_call(), u64::MAX);
        assert_eq!(gas.allowed(), BASE_GAS);
    }

    #[test]
    fn long_rows_earn_gas_for_at_most_256_mib() {
        let mut gas = Gas::new(0);
        assert_eq!(
            gas.earn(1, 300 << 20),
            GAS_PER_ROW + (256 << 20) * GAS_PER_ROW_BYTE
        );
        assert_eq!(gas.earn(1, 300 << 20), GAS_PER_ROW);
    }
}
