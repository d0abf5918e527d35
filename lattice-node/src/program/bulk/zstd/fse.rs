//! Tables of finite state entropy.

use super::bits::{Backward, Forward, highest};
use super::{Result, ensure};

/// A decoding table: for each state a symbol, and how the next state is made.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// How many bits a state has.
    log: usize,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    symbol: u8,
    bits: usize,
    base: usize,
}

/// How often a symbol occurs in a table; less than once, but it does occur, is `Rare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Rare,
    Cells(usize),
}

impl Table {
    /// Reads a table with at most `max_log` bits a state and symbols up to `max_symbol`. Returns
    /// what follows it.
    pub(super) fn read(data: &[u8], max_log: usize, max_symbol: u8) -> Result<(Self, &[u8])> {
        let mut input = Forward::new(data);
        let log = input.take(4) + 5;
        ensure(log <= max_log, "a table has too many states")?;
        let mut left = 1_usize << log;
        let most = usize::from(max_symbol) + 1;
        let mut shares = Vec::with_capacity(most);
        while left > 0 {
            ensure(shares.len() < most, "a table has too many symbols")?;
            let bits = highest(left + 1) + 1;
            let mut value = input.peek(bits);
            let low = (1 << (bits - 1)) - 1;
            let threshold = (1 << bits) - 1 - (left + 1);
            if value & low < threshold {
                value &= low;
                input.skip(bits - 1);
            } else {
                if value > low {
                    value -= threshold;
                }
                input.skip(bits);
            }
            let share = match value.checked_sub(1) {
                None => Share::Rare,
                Some(cells) => Share::Cells(cells),
            };
            let cells = match share {
                Share::Rare => 1,
                Share::Cells(cells) => cells,
            };
            ensure(cells <= left, "a table has too many states")?;
            left -= cells;
            shares.push(share);
            while share == Share::Cells(0) {
                let more = input.take(2);
                ensure(shares.len() + more <= most, "a table has too many symbols")?;
                shares.extend(std::iter::repeat_n(Share::Cells(0), more));
                if more < 3 {
                    break;
                }
            }
        }
        let rest = input.rest()?;
        Ok((Self::spread(log, &shares)?, rest))
    }

    /// The table of a distribution that the format defines; -1 is a rare symbol.
    pub(super) fn defined(log: usize, shares: &[i8]) -> Result<Self> {
        let share = |share: &i8| match usize::try_from(*share) {
            Ok(cells) => Share::Cells(cells),
            Err(_) => Share::Rare,
        };
        let shares: Vec<_> = shares.iter().map(share).collect();
        Self::spread(log, &shares)
    }

    /// A table with one symbol, which takes no bits.
    pub(super) fn single(symbol: u8) -> Self {
        let cell = Cell {
            symbol,
            ..Cell::default()
        };
        Self {
            log: 0,
            cells: vec![cell],
        }
    }

    fn spread(log: usize, shares: &[Share]) -> Result<Self> {
        let size = 1_usize << log;
        let mut cells = vec![Cell::default(); size];
        let mut next = vec![0; shares.len()];
        let mut end = size;
        for (symbol, share) in (0_u8..).zip(shares) {
            if *share == Share::Rare {
                ensure(end > 0, "a table has too many symbols")?;
                end -= 1;
                cells[end].symbol = symbol;
                next[usize::from(symbol)] = 1;
            }
        }
        let step = (size >> 1) + (size >> 3) + 3;
        let mut place = 0;
        for (symbol, share) in (0_u8..).zip(shares) {
            let Share::Cells(count) = *share else {
                continue;
            };
            next[usize::from(symbol)] = count;
            for _ in 0..count {
                ensure(end > 0, "a table has too many states")?;
                cells[place].symbol = symbol;
                loop {
                    place = (place + step) & (size - 1);
                    if place < end {
                        break;
                    }
                }
            }
        }
        ensure(place == 0, "a table has too few states")?;
        for cell in &mut cells {
            let state = &mut next[usize::from(cell.symbol)];
            ensure(*state > 0, "a table has a state without a symbol")?;
            cell.bits = log.saturating_sub(highest(*state));
            let base = (*state << cell.bits).checked_sub(size);
            ensure(base.is_some(), "a table has too few states")?;
            cell.base = base.unwrap_or(0);
            *state += 1;
        }
        Ok(Self { log, cells })
    }
}

/// A state of a table.
pub(super) struct State<'a> {
    table: &'a Table,
    at: usize,
}

impl<'a> State<'a> {
    pub(super) fn begin(table: &'a Table, input: &mut Backward<'_>) -> Self {
        let at = input.take(table.log);
        Self { table, at }
    }

    pub(super) fn symbol(&self) -> u8 {
        self.table.cells[self.at].symbol
    }

    pub(super) fn advance(&mut self, input: &mut Backward<'_>) {
        let cell = self.table.cells[self.at];
        self.at = cell.base + input.take(cell.bits);
    }
}
