//! What a call can reach of its store.
//!
//! An instance is made before the call that uses it, so its state cannot borrow from the store.
//! While the module runs, what it can reach is therefore in a variable of the thread.

use lattice_backend::machine::{DataRead, DataWrite, History};
use scoped_tls_hkt::{ReborrowMut, scoped_thread_local};

/// The module's access to the rows of the store.
#[derive(Default)]
pub(crate) enum Data<'a> {
    #[default]
    None,
    Read(&'a dyn DataRead),
    Write(&'a mut dyn DataWrite),
}

/// Receives elements: the row's number, key and value.
pub(crate) type Each<'a> = &'a mut dyn FnMut(u32, &[u8], &[u8]);

/// What a call can reach: nothing, unless it says so.
#[derive(Default)]
pub(crate) struct Reach<'a> {
    pub(crate) data: Data<'a>,
    pub(crate) history: Option<&'a dyn History>,
    pub(crate) each: Option<Each<'a>>,
}

impl<'a, 'b: 'a> ReborrowMut<'a> for Reach<'b> {
    type Result = Reach<'a>;

    fn reborrow_mut(&'a mut self) -> Reach<'a> {
        Reach {
            data: match &mut self.data {
                Data::None => Data::None,
                Data::Read(rows) => Data::Read(*rows),
                Data::Write(rows) => Data::Write(&mut **rows),
            },
            history: self.history,
            each: match &mut self.each {
                None => None,
                Some(each) => Some(&mut **each),
            },
        }
    }
}

scoped_thread_local!(static mut REACH: for<'a> Reach<'a>);

impl Reach<'_> {
    /// Runs `work`, in which [`with`](Self::with) sees this.
    pub(crate) fn while_in<T>(self, work: impl FnOnce() -> T) -> T {
        REACH.set(self, work)
    }

    /// Calls `see` with what the running call can reach.
    pub(crate) fn with<T>(see: impl FnOnce(&mut Reach<'_>) -> T) -> T {
        REACH.with(|mut reach| see(&mut reach))
    }
}
