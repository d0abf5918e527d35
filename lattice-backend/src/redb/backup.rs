//! Copies of files: page by page where that can be done, and packed.

use std::path::Path;

use crate::backend::file_error::FileFault;
use crate::backend::{
    Access, FileError, OpenOptions, Result, StateDb, Table, WriteTx, check_journal,
};
use crate::history::system::JOURNAL;
use crate::progress::{ProgressSink, Stage};
use crate::redb::copy_pages::{Pinned, Plan, Stop};
use crate::redb::db::{Opened, Place, RedbDb};
use crate::redb::error::{contain, file_error, open_error};
use crate::redb::header_last::{Header, HeaderLast};
use crate::redb::new_file::NewFile;
use crate::redb::pack::shrink_copy;
use crate::redb::scratch::Unsynced;
use crate::redb::{RedbBackend, create_database, writer_of};
use crate::storage::{FileMode, Storage};

/// The pages that a copy keeps free for its first commit are a small share of a longer file.
const SMALL_BYTES: u64 = 4 << 20;

impl RedbBackend {
    /// Copies the pages of a file's last commit. Returns false if its rows have to be copied
    /// instead; then there is no copy yet.
    pub(super) fn copy_pages(
        &self,
        path: &Path,
        target: &Path,
        edit: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
        progress: &ProgressSink,
    ) -> Result<bool, FileError> {
        let options = OpenOptions::read_only();
        self.repair_before_reading(path, &options);
        let opened = self.in_place(path, || self.open_reader(path, &options));
        let (opened, file) = opened.map_err(|fault| fault.at(path))?;
        let place = self.place(path, file);
        let written = self.write_pages(&opened, &place, target, progress);
        // The copy is written or gone. A file that was only read loses nothing if closing it fails.
        let _ = opened.close();
        match written {
            Ok((written, file)) => {
                let finished = self.finish_copy(written, target, edit, progress);
                finished.map_err(|fault| fault.at(target))?;
                file.keep();
                Ok(true)
            }
            Err(Stop::Unfit) => Ok(false),
            Err(Stop::Source(fault)) => Err(fault.at(path)),
            Err(Stop::Target(fault)) => Err(fault.at(target)),
        }
    }

    fn write_pages<'a>(
        &'a self,
        opened: &Opened,
        place: &Place,
        target: &'a Path,
        progress: &ProgressSink,
    ) -> Result<(HeaderLast, NewFile<'a>), Stop> {
        let pinned = Pinned::of(opened);
        let pinned = pinned.map_err(|error| FileFault::from(place.reading(error)))?;
        let pinned = pinned.ok_or(Stop::Unfit)?;
        check_journal(&pinned.tx).map_err(FileFault::from)?;
        let plan = Plan::new(&pinned)?;
        let storage = self.storage(target, FileMode::CreateNew);
        let storage = HeaderLast {
            storage: Box::new(Unsynced(storage.map_err(Stop::Target)?)),
            header: Header::default(),
        };
        let file = NewFile::new(&*self.disk, target);
        match plan.write(&storage, progress) {
            Ok(()) => Ok((storage, file)),
            Err(stop) => {
                // Some systems do not remove a file that is open.
                drop(storage);
                Err(stop)
            }
        }
    }

    /// Changes the rows of a copy whose pages are written, and writes all of it to the disk.
    fn finish_copy(
        &self,
        written: HeaderLast,
        target: &Path,
        edit: &mut dyn FnMut(&mut dyn WriteTx) -> Result<()>,
        progress: &ProgressSink,
    ) -> Result<(), FileFault> {
        let len = written.len_bytes().map_err(open_error)?;
        let header = written.header.clone();
        let database = create_database(Box::new(written), &OpenOptions::read_write())?;
        let db = RedbDb::new(writer_of(database), Access::ReadWrite);
        let mut tx = db.begin_write()?;
        // As in a new store, all tables are there; and a copy has no journal.
        for table in Table::ALL {
            tx.get(table, &[])?;
        }
        tx.remove(Table::System, JOURNAL)?;
        edit(&mut *tx)?;
        tx.commit()?.wait()?;
        db.close()?;
        let storage = self.storage(target, FileMode::ReadWrite)?;
        header.finish(&*storage).map_err(open_error)?;
        storage.close().map_err(open_error)?;
        if len < SMALL_BYTES {
            progress.report(Stage::Shrink, 0, None);
            self.shrink_file(target)?;
        }
        Ok(())
    }

    /// Frees the unused space of a copy, which nothing has open.
    pub(super) fn shrink_file(&self, path: &Path) -> Result<(), FileFault> {
        let storage = self.storage(path, FileMode::ReadWrite)?;
        contain(|| {
            let file_bytes = storage.len_bytes().map_err(open_error)?;
            let mut database = create_database(storage, &OpenOptions::read_write())?;
            shrink_copy(&mut database, file_bytes)?;
            database.close().map_err(file_error)
        })
    }
}
